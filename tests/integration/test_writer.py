"""Writes that share transactions: nobody's fails for another's, nobody is told too early."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, select

from dicom_node.domain.association import Diagnosis, End, Ending, Visit
from dicom_node.errors import LedgerError, RowRefused
from dicom_node.store import database as database_module
from dicom_node.store import tables as t
from dicom_node.store.intake import Intake, Received, record_all
from dicom_node.store.ledger import Ledger
from dicom_node.store.writer import Act, Order
from tests.headers import low_energy, recombined, uid
from tests.integration.ledger_acts import (
    close,
    new_job,
    open_study,
    receive,
    rows,
    sha256,
    study_row,
)
from tests.peers import wait_until

VISIT = Visit(called_ae="FAPS", calling_ae="GE1", address="10.0.3.7")
WORKER = {"bundle": "b", "started_at": 1.0, "seen_at": 1.0}


def add(connection: Connection, names: Sequence[str | None]) -> list[str]:
    """Write a row for each name; the database takes none twice, and none without a name."""
    for name in names:
        connection.execute(insert(t.workers).values(owner=name, **WORKER))
    return [f"{name} is there" for name in names]


class Gate:
    """Holds up the first transaction until the test has brought others behind it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.entered, self.opened = threading.Event(), threading.Event()
        self.sizes: list[int] = []
        self.act = Act(Order.OBJECT, self._write)

    def _write(self, connection: Connection, names: Sequence[str | None]) -> list[str]:
        self.sizes.append(len(names))
        if len(self.sizes) == 1:
            self.entered.set()
            assert self.opened.wait(20)
        return add(connection, names)

    def run(self, pool: ThreadPoolExecutor, names: Sequence[str | None]) -> list[Future[str]]:
        """One write, and while it commits all the others."""
        first = pool.submit(self.ledger.writer.write, self.act, "first")
        assert self.entered.wait(20)
        others = [pool.submit(self.ledger.writer.write, self.act, name) for name in names]
        wait_until(lambda: len(self.ledger.writer._queue) == len(names), "all others in the queue")
        self.opened.set()
        return [first, *others]


def owners(ledger: Ledger) -> set[str]:
    return {row.owner for row in rows(ledger, select(t.workers.c.owner))}


def test_what_waits_while_one_commits_is_one_transaction(ledger: Ledger) -> None:
    names = [f"worker {n}" for n in range(8)]
    gate = Gate(ledger)
    commits: list[int] = []
    event.listen(ledger.database.engine, "commit", lambda _: commits.append(1))
    with ThreadPoolExecutor(9) as pool:
        answers = [one.result(20) for one in gate.run(pool, names)]
    assert answers == [f"{name} is there" for name in ["first", *names]]
    assert gate.sizes == [1, 8]
    assert len(commits) == 2
    assert owners(ledger) == {"first", *names}


@pytest.mark.parametrize("bad", ["first", None])
def test_a_row_that_the_database_refuses_fails_alone(ledger: Ledger, bad: str | None) -> None:
    gate = Gate(ledger)
    with ThreadPoolExecutor(5) as pool:
        first, good, spoilt, better = gate.run(pool, ["a", bad, "b"])
        assert first.result(20) == "first is there"
        assert (good.result(20), better.result(20)) == ("a is there", "b is there")
        with pytest.raises(RowRefused, match="database refused"):
            spoilt.result(20)
    assert gate.sizes == [1, 3, 1, 1, 1]
    assert owners(ledger) == {"first", "a", "b"}


def test_a_fault_of_ours_fails_alone_too(ledger: Ledger) -> None:
    def odd(connection: Connection, names: Sequence[str]) -> list[str]:
        del connection
        raise TypeError(names[0])

    gate = Gate(ledger)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(ledger.writer.write, gate.act, "first")
        assert gate.entered.wait(20)
        faulty = pool.submit(ledger.writer.write, Act(Order.OBJECT, odd), "x")
        good = pool.submit(ledger.writer.write, gate.act, "a")
        wait_until(lambda: len(ledger.writer._queue) == 2, "both in the queue")
        gate.opened.set()
        assert (first.result(20), good.result(20)) == ("first is there", "a is there")
        with pytest.raises(TypeError):
            faulty.result(20)


def test_nobody_is_told_success_by_a_thread_that_dies_while_it_writes(ledger: Ledger) -> None:
    def dies(connection: Connection, names: Sequence[str]) -> list[str]:
        add(connection, names)
        raise SystemExit

    gate = Gate(ledger)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(ledger.writer.write, gate.act, "first")
        assert gate.entered.wait(20)
        dying = [pool.submit(ledger.writer.write, Act(Order.OBJECT, dies), n) for n in "xy"]
        wait_until(lambda: len(ledger.writer._queue) == 2, "both in the queue")
        gate.opened.set()
        first.result(20)
        errors = {type(one.exception(20)) for one in dying}
    assert errors == {SystemExit, LedgerError}
    assert owners(ledger) == {"first"}
    assert ledger.writer.write(gate.act, "later") == "later is there"


def test_a_locked_database_fails_all_of_them_at_once(
    new_sqlite_ledger: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 200)
    ledger = new_sqlite_ledger()
    gate = Gate(ledger)
    gate.sizes = [0]
    with ThreadPoolExecutor(4) as pool:
        other = Ledger(str(ledger.database.engine.url))
        with other.database.write():
            names = ["a", "b", "c", "d"]
            writes = [pool.submit(ledger.writer.write, gate.act, name) for name in names]
            errors = [one.exception(20) for one in writes]
    # None of them tried alone what all together could not do.
    assert {type(one) for one in errors} == {LedgerError}
    assert "database is locked" in str(errors[0])
    assert owners(ledger) == set()
    assert ledger.writer.write(gate.act, "a") == "a is there"
    ledger.close()
    other.close()


def test_what_nobody_waits_for_is_written_soon_and_told(ledger: Ledger) -> None:
    told: list[Any] = []
    ledger.writer.start()
    act = Act(Order.OBJECT, add)
    ledger.writer.send(act, "a", told.append)
    wait_until(lambda: told, "word of the write")
    ledger.writer.send(act, "a", told.append)
    wait_until(lambda: len(told) == 2, "word of the second")
    ledger.writer.send(act, "b", told.append)
    ledger.writer.stop()
    ledger.writer.send(act, "c", told.append)
    assert [type(one) for one in told] == [type(None), RowRefused, type(None), type(None)]
    assert owners(ledger) == {"a", "b", "c"}


def test_what_came_while_another_wrote_is_written_at_the_stop(ledger: Ledger) -> None:
    gate, told = Gate(ledger), []
    ledger.writer.start()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ledger.writer.write, gate.act, "first")
        assert gate.entered.wait(20)
        ledger.writer.send(Act(Order.OBJECT, add), "a", told.append)
        thread = ledger.writer._thread
        assert thread is not None
        stopping = pool.submit(ledger.writer.stop)
        thread.join(20)
        gate.opened.set()
        first.result(20)
        stopping.result(20)
    assert told == [None]
    assert owners(ledger) == {"first", "a"}


def test_an_image_brings_its_association_with_it(ledger: Ledger) -> None:
    ledger.writer.start()
    entry = ledger.associations.open(VISIT)
    receive(ledger, low_energy(), association_id=entry)
    (image,) = rows(ledger, select(t.instances.c.association_id))
    assert image.association_id == entry.id is not None
    assert study_row(ledger).called_ae == "FAPS"
    done = threading.Event()
    ledger.associations.close(
        entry, End(ending=Ending.RELEASED, objects=1), Diagnosis(), lambda _: done.set()
    )
    assert done.wait(20)
    assert not open_study(ledger).arrival.association_open
    ledger.writer.stop()


def received(header: Any, content: object = "") -> Received:
    return Received(
        header=header,
        sha256=sha256(header.sop_instance_uid, content),
        size=1000,
        association_id=None,
        calling_ae="MODALITY",
    )


def test_images_of_one_transaction_are_judged_one_after_the_other(ledger: Ledger) -> None:
    first = low_energy()
    batch = [
        received(first),
        received(first),
        received(first, "other"),
        received(first, "other"),
        received(replace(recombined(), patient_id="P-2")),
        received(low_energy(study_instance_uid=uid("second study"))),
        received(low_energy(study_instance_uid=uid("third study"), own_result=True)),
    ]
    with ledger.database.write() as connection:
        intakes = record_all(connection, batch)
    assert [one.value for one in intakes] == [
        "new", "duplicate", "conflict", "duplicate", "patient_mismatch", "new", "ignored",
    ]  # fmt: skip
    assert study_row(ledger).hold_code == "patient_mismatch"
    assert study_row(ledger, uid("third study")).state == "closed"
    states = [row.state for row in rows(ledger, select(t.instances.c.state))]
    assert sorted(states) == ["conflict", "ignored", "kept", "kept", "kept"]


def test_two_late_images_of_one_transaction_make_one_revision(ledger: Ledger) -> None:
    new_job(ledger)
    with ledger.database.write() as connection:
        late = [received(low_energy("L CC")), received(recombined("L CC"))]
        assert record_all(connection, late) == [Intake.NEW] * 2
    row = study_row(ledger)
    assert (row.state, row.revision) == ("open", 2)
    reopened = select(t.events).where(t.events.c.event == "reopened")
    assert len(rows(ledger, reopened)) == 1
    assert close(ledger) is not None
