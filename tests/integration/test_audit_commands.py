"""The trail as an administrator reads, proves and writes it out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree
from sqlalchemy import delete, insert, update

from dicom_node.store import audit_tables
from dicom_node.store import tables as t
from dicom_node.store.ledger import Ledger
from tests.commands import run_command
from tests.headers import STUDY
from tests.integration.ledger_acts import analysed


@pytest.fixture
def ledger(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Ledger]:
    """A node's data folder in which an exam was analysed and all of it sealed."""
    (tmp_path / "ledger.db").write_bytes(migrated_sqlite.read_bytes())
    made = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    analysed(made)
    made.chain.seal()
    yield made
    made.close()


def test_an_intact_trail_is_said_to_be_so_with_its_head(ledger: Ledger, tmp_path: Path) -> None:
    said = run_command("audit", "verify", "--data", str(tmp_path))
    assert said.exit_code == 0
    assert f"head {ledger.chain.verify().head}" in said.stdout.replace("\n", "")


def test_the_first_broken_row_is_named_and_the_exit_code_is_1(
    ledger: Ledger, tmp_path: Path
) -> None:
    with ledger.database.write() as connection:
        connection.execute(insert(audit_tables.audit_door).values(opened_by="an intruder"))
        connection.execute(update(t.events).where(t.events.c.id == 3).values(reason="another"))
        connection.execute(update(t.events).where(t.events.c.id == 5).values(reason="another"))
        connection.execute(delete(audit_tables.audit_door))
    said = run_command("audit", "verify", "--data", str(tmp_path))
    assert said.exit_code == 1
    assert "BROKEN: event 3 was changed" in said.stdout


def test_what_was_listed_and_who_looked_is_in_the_trail(ledger: Ledger, tmp_path: Path) -> None:
    said = run_command("audit", "list", "--data", str(tmp_path))
    assert said.exit_code == 0
    assert "received_new" in said.stdout
    ledger.chain.seal()
    (last,) = ledger.trail.newest(1)
    assert (last.subject, last.event, last.by_a_person) == ("audit", "read", True)


@pytest.mark.usefixtures("ledger")
def test_the_messages_go_into_a_file_one_a_line(tmp_path: Path) -> None:
    out = tmp_path / "audit.xml"
    said = run_command("audit", "export", "--data", str(tmp_path), "--out", str(out))
    assert said.exit_code == 0, said.output
    trees = [etree.fromstring(line) for line in out.read_text().splitlines()]
    objects = {
        one.get("ParticipantObjectID")
        for tree in trees
        for one in tree.iterfind("ParticipantObjectIdentification")
    }
    assert objects == {STUDY, "P-1"}
    some = run_command("audit", "export", "--data", str(tmp_path), "--first", "2", "--last", "2")
    assert some.stdout.count("<AuditMessage>") == 1
