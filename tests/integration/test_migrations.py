"""The schema made, undone and made again, the same as the tables say."""

from __future__ import annotations

import pytest
from alembic import command
from sqlalchemy import Connection, inspect, text, update

from dicom_node.errors import LedgerError
from dicom_node.store import tables as t
from dicom_node.store.database import Database
from dicom_node.store.migrate import alembic_config, migrate, pending


def _tables(database: Database) -> set[str]:
    with database.read() as connection:
        return set(inspect(connection).get_table_names()) - {"alembic_version"}


def _schema(connection: Connection) -> dict[str, object]:
    """Everything that a reflection can see of the schema."""
    found = inspect(connection)
    return {
        name: (
            sorted((c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(name)),
            found.get_pk_constraint(name),
            sorted(map(repr, found.get_foreign_keys(name))),
            sorted(map(repr, found.get_unique_constraints(name))),
            sorted(map(repr, found.get_check_constraints(name))),
            sorted(map(repr, found.get_indexes(name))),
        )
        for name in sorted(found.get_table_names())
        if name != "alembic_version"
    }


def test_a_fresh_database_is_pending_until_it_is_migrated(unmigrated: Database) -> None:
    assert pending(unmigrated)
    migrate(unmigrated)
    assert not pending(unmigrated)
    assert _tables(unmigrated) == set(t.metadata.tables)


def test_the_migrations_make_the_tables_that_the_code_describes(unmigrated: Database) -> None:
    migrate(unmigrated)
    command.check(alembic_config(unmigrated))


def test_the_migrations_make_every_constraint_that_the_code_describes(
    unmigrated: Database,
) -> None:
    migrate(unmigrated)
    with unmigrated.read() as connection:
        migrated = _schema(connection)
    command.downgrade(alembic_config(unmigrated), "base")
    with unmigrated.write() as connection:
        t.metadata.create_all(connection)
        described = _schema(connection)
    assert migrated == described


def test_up_down_up_leaves_nothing_behind(unmigrated: Database) -> None:
    migrate(unmigrated)
    command.downgrade(alembic_config(unmigrated), "base")
    assert _tables(unmigrated) == set()
    assert pending(unmigrated)
    migrate(unmigrated)
    assert _tables(unmigrated) == set(t.metadata.tables)


def test_migrating_twice_changes_nothing(unmigrated: Database) -> None:
    migrate(unmigrated)
    with unmigrated.write() as connection:
        connection.execute(text("INSERT INTO workers VALUES ('owner', 'bundle', 1.0, 2.0)"))
    migrate(unmigrated)
    with unmigrated.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM workers")).scalar_one() == 1


def test_a_ledger_in_use_takes_the_states_that_a_later_version_knows(unmigrated: Database) -> None:
    config = alembic_config(unmigrated)
    command.upgrade(config, "0002")
    with unmigrated.write() as connection:
        for statement in _A_DELIVERED_EXAM:
            connection.execute(text(statement))
    migrate(unmigrated)
    with unmigrated.write() as connection:
        connection.execute(text("UPDATE jobs SET state = 'withdrawn'"))
        assert connection.execute(text("SELECT reached_at FROM deliveries")).scalar_one() == 2.0
        connection.execute(text("UPDATE deliveries SET state = 'cancelled'"))
    for table in (t.jobs, t.deliveries):
        with pytest.raises(LedgerError), unmigrated.write() as connection:
            connection.execute(update(table).values(state="nonsense"))
    command.downgrade(config, "0002")
    with unmigrated.read() as connection:
        assert connection.execute(text("SELECT state FROM jobs")).scalar_one() == "delivered"
        assert connection.execute(text("SELECT state FROM deliveries")).scalar_one() == "refused"


_A_DELIVERED_EXAM = (
    """INSERT INTO studies (id, study_instance_uid, patient_id, accession_number, calling_ae, state,
    reason, revision, opened_at, last_received_at)
    VALUES (1, '1.2', 'P', 'A', 'AE', 'closed', '', 1, 1.0, 1.0)""",
    """INSERT INTO jobs (id, study_id, revision, input_hash, state, reason_code, reason, attempts,
    token, created_at, updated_at, bundle, seconds)
    VALUES ('job', 1, 1, 'h', 'delivered', '', '', 1, 1, 1.0, 1.0, 'b', '{}')""",
    """INSERT INTO artefacts (id, job_id, role, key, media_type, sop_class_uid, sop_instance_uid,
    sha256, size, created_at) VALUES (1, 'job', 'sr', 'exam', 'm', '1.2', '1.3', 'h', 1, 1.0)""",
    """INSERT INTO deliveries (id, artefact_id, job_id, destination, state, needs_commitment,
    attempts, refusals, next_at, reason, created_at, updated_at)
    VALUES (1, 1, 'job', 'pacs', 'accepted', 0, 1, 0, 1.0, '', 1.0, 2.0)""",
)
