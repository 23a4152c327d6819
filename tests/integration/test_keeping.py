"""Received files kept with their row, or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text

from dicom_node.errors import ArchiveError, CommitUnknown, LedgerError
from dicom_node.store import database as database_module
from dicom_node.store.archive import Archive
from dicom_node.store.intake import Intake, Received
from dicom_node.store.keeping import Keeper
from dicom_node.store.ledger import Ledger
from tests.headers import low_energy
from tests.integration.databases import empty

CONTENT = b"an object" * 1000
HASH = hashlib.sha256(CONTENT).hexdigest()
OBJECT = Received(
    header=low_energy(), sha256=HASH, size=len(CONTENT), association_id=None, calling_ae="MODALITY"
)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "data")


def spooled(archive: Archive) -> Path:
    part = archive.new_part()
    part.write_bytes(CONTENT)
    return part


def test_file_and_row_are_there_afterwards(archive: Archive, ledger: Ledger) -> None:
    keeper = Keeper(archive, ledger)
    assert keeper.keep(spooled(archive), OBJECT) is Intake.NEW
    assert keeper.keep(spooled(archive), OBJECT) is Intake.DUPLICATE
    assert archive.read(HASH) == CONTENT
    assert list(archive.spool.iterdir()) == []


def test_the_same_object_from_many_at_once_is_kept_once(archive: Archive, ledger: Ledger) -> None:
    keeper = Keeper(archive, ledger)
    parts = [spooled(archive) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        intakes = list(pool.map(lambda part: keeper.keep(part, OBJECT), parts))
    assert sorted(one.value for one in intakes) == ["duplicate"] * 7 + ["new"]
    assert archive.read(HASH) == CONTENT
    assert list(archive.spool.iterdir()) == []


def test_a_file_that_gets_no_row_is_gone_again(
    archive: Archive, new_sqlite_ledger: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 50)
    ledger = new_sqlite_ledger()
    keeper = Keeper(archive, ledger)
    other = Ledger(str(ledger.database.engine.url))
    with other.database.write(), pytest.raises(LedgerError):
        keeper.keep(spooled(archive), OBJECT)
    assert not archive.path(HASH).exists()
    assert keeper.keep(spooled(archive), OBJECT) is Intake.NEW
    with other.database.write(), pytest.raises(LedgerError):
        keeper.keep(spooled(archive), OBJECT)
    assert archive.read(HASH) == CONTENT  # its row is older than the trouble
    assert list(archive.quarantine.iterdir()) == []
    other.close()
    ledger.close()


def test_what_somebody_else_took_in_meanwhile_stays(archive: Archive) -> None:
    mine = archive.take_in(spooled(archive), HASH)
    theirs = archive.take_in(spooled(archive), HASH)
    assert (mine.fresh, theirs.fresh) == (True, False)
    assert not archive.take_back(mine)
    assert not archive.take_back(theirs)
    assert archive.read(HASH) == CONTENT
    assert archive.path(HASH).stat().st_ino == theirs.inode


def test_what_is_only_mine_goes(archive: Archive) -> None:
    mine = archive.take_in(spooled(archive), HASH)
    assert archive.take_back(mine)
    assert not archive.path(HASH).exists()
    assert list(archive.quarantine.iterdir()) == []


def test_a_damaged_file_is_healed_by_the_same_object(archive: Archive) -> None:
    archive.take_in(spooled(archive), HASH)
    archive.path(HASH).write_bytes(b"rotten")
    archive.take_in(spooled(archive), HASH)
    assert archive.read(HASH) == CONTENT


def test_a_duplicate_without_its_file_is_not_acknowledged(
    archive: Archive, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Keeper(archive, ledger)
    record = ledger.intake.record_instance

    def removed_meanwhile(received: Received) -> Intake:
        archive.remove(received.sha256)
        return record(received)

    monkeypatch.setattr(ledger.intake, "record_instance", removed_meanwhile)
    with pytest.raises(ArchiveError, match="send it again"):
        keeper.keep(spooled(archive), OBJECT)


@pytest.mark.postgres
def test_a_commit_that_nobody_knows_the_end_of_leaves_the_file(
    archive: Archive, migrated_postgres: str
) -> None:
    ledger, other = Ledger(migrated_postgres), Ledger(migrated_postgres)
    empty(ledger.database)
    keeper = Keeper(archive, ledger)

    def loses_the_connection(connection: Connection) -> None:
        pid = connection.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
        with other.database.write() as second:
            second.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    event.listen(ledger.database.engine, "commit", loses_the_connection)
    with pytest.raises(CommitUnknown):
        keeper.keep(spooled(archive), OBJECT)
    event.remove(ledger.database.engine, "commit", loses_the_connection)
    assert archive.read(HASH) == CONTENT
    assert keeper.keep(spooled(archive), OBJECT) is Intake.NEW
    assert archive.read(HASH) == CONTENT
    ledger.close()
    other.close()
