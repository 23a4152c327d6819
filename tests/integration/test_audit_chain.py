"""The trail can only be added to, and whoever changes it all the same is found out."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Connection, Table, delete, insert, select, text, update

from dicom_node.errors import LedgerError
from dicom_node.store import audit_tables
from dicom_node.store import tables as t
from dicom_node.store.ledger import Ledger
from tests.integration.databases import let_pass
from tests.integration.ledger_acts import analysed, rows

YEAR_S = 365.25 * 86400.0


def sealed(ledger: Ledger) -> Ledger:
    """An exam has been analysed, its events are sealed."""
    analysed(ledger)
    while ledger.chain.seal(limit=3):
        continue
    return ledger


def behind_the_guards(connection: Connection) -> None:
    """What somebody with every right on the database may do."""
    connection.execute(insert(audit_tables.audit_door).values(opened_by="an intruder"))


def close_the_door(connection: Connection) -> None:
    connection.execute(delete(audit_tables.audit_door))


def test_every_event_is_sealed_once_and_the_chain_is_whole(ledger: Ledger) -> None:
    analysed(ledger)
    before = ledger.chain.verify()
    assert (before.intact, before.sealed) == (True, 0)
    sealed(ledger)
    verdict = ledger.chain.verify()
    assert (verdict.broken, verdict.unsealed) == ("", 0)
    assert verdict.sealed == len(rows(ledger, select(t.events))) > before.unsealed


@pytest.mark.parametrize("table", [t.events, audit_tables.seals], ids=["events", "seals"])
def test_the_database_itself_refuses_changes(ledger: Ledger, table: Table) -> None:
    sealed(ledger)
    same = {column.name: column for column in table.columns}
    for statement in (update(table).values(same), delete(table)):
        with (
            pytest.raises(LedgerError, match="can only be added to"),
            ledger.database.write() as connection,
        ):
            connection.execute(statement)
    assert ledger.chain.verify().intact


def test_an_event_that_was_changed_behind_the_guards_is_named(ledger: Ledger) -> None:
    sealed(ledger)
    with ledger.database.write() as connection:
        behind_the_guards(connection)
        changed = update(t.events).where(t.events.c.id == 2).values(actor="somebody else")
        connection.execute(changed)
        close_the_door(connection)
    assert ledger.chain.verify().broken == "event 2 was changed"


def test_an_event_that_was_removed_behind_the_guards_is_named(ledger: Ledger) -> None:
    sealed(ledger)
    with ledger.database.write() as connection:
        behind_the_guards(connection)
        connection.execute(delete(t.events).where(t.events.c.id == 1))
        close_the_door(connection)
    assert ledger.chain.verify().broken == "event 1 was removed"


def test_a_seal_that_was_taken_out_or_made_anew_is_named(ledger: Ledger) -> None:
    sealed(ledger)
    with ledger.database.write() as connection:
        behind_the_guards(connection)
        connection.execute(
            update(audit_tables.seals)
            .where(audit_tables.seals.c.position == 4)
            .values(digest="0" * 64)
        )
        close_the_door(connection)
    assert ledger.chain.verify().broken == "seal 4 does not follow the one before"
    with ledger.database.write() as connection:
        behind_the_guards(connection)
        connection.execute(delete(audit_tables.seals).where(audit_tables.seals.c.position == 2))
        close_the_door(connection)
    assert ledger.chain.verify().broken == "seal 2 is missing"


def test_missing_guards_are_named(ledger: Ledger) -> None:
    sealed(ledger)
    on_sqlite = ledger.database.engine.dialect.name == "sqlite"
    with ledger.database.write() as connection:
        statement = "DROP TRIGGER events_no_UPDATE"
        made = (
            connection.execute(
                text("SELECT sql FROM sqlite_master WHERE name = 'events_no_UPDATE'")
            ).scalar_one()
            if on_sqlite
            else "ALTER TABLE events ENABLE TRIGGER events_guard"
        )
        connection.execute(
            text(statement if on_sqlite else "ALTER TABLE events DISABLE TRIGGER events_guard")
        )
    assert "triggers" in ledger.chain.verify().broken
    with ledger.database.write() as connection:
        connection.execute(text(made))
    assert ledger.chain.verify().intact


def test_old_events_go_and_the_chain_stays_whole(ledger: Ledger) -> None:
    for number in range(3):
        ledger.trail.note("peer", f"peer {number}", "added", "a test")
    let_pass(ledger.database, 7 * YEAR_S)
    old = ledger.chain.seal()
    ledger.trail.note("node", "FAPS", "started", "a test")
    assert ledger.chain.seal() == 1
    assert ledger.chain.forget(6 * YEAR_S) == old
    assert ledger.chain.forget(6 * YEAR_S) == 0
    ledger.chain.seal()
    verdict = ledger.chain.verify()
    assert (verdict.broken, verdict.sealed) == ("", old + 2)
    assert [row.event for row in rows(ledger, select(t.events))] == ["started", "forgotten"]
    with ledger.database.write() as connection:  # one more than retention has told of
        behind_the_guards(connection)
        connection.execute(delete(t.events).where(t.events.c.event == "started"))
        close_the_door(connection)
    assert "was removed" in ledger.chain.verify().broken


def test_an_event_that_is_committed_late_is_sealed_after_its_successors(ledger: Ledger) -> None:
    """PostgreSQL gives out numbers before the commit; SQLite has one writer at a time."""
    if ledger.database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    numbered, free = threading.Event(), threading.Event()

    def slow() -> None:
        with ledger.database.write() as connection:
            connection.execute(_event("slow"))
            numbered.set()
            free.wait(30)

    writer = threading.Thread(target=slow)
    writer.start()
    assert numbered.wait(30)
    with ledger.database.write() as connection:
        connection.execute(_event("quick"))
    assert ledger.chain.seal() == 1
    free.set()
    writer.join()
    assert ledger.chain.seal() == 1
    told = rows(ledger, select(t.events.c.event).order_by(t.events.c.id))
    assert [row.event for row in told] == ["slow", "quick"]
    assert [entry.event for entry in ledger.trail.between(1, 2)] == ["quick", "slow"]
    assert ledger.chain.verify().intact


def _event(name: str) -> object:
    return insert(t.events).values(
        at=1.0, subject="node", subject_id="FAPS", event=name, actor="a test"
    )


def test_two_who_seal_at_once_do_not_fork_the_chain(ledger: Ledger) -> None:
    analysed(ledger)
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        for _ in range(20):
            try:
                ledger.chain.seal(limit=1)
            except LedgerError:
                continue  # somebody else sealed this one

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while ledger.chain.seal():
        continue
    verdict = ledger.chain.verify()
    assert (verdict.broken, verdict.unsealed) == ("", 0)
