"""The schema made, undone and made again, the same as the tables say."""

from __future__ import annotations

from alembic import command
from sqlalchemy import Connection, inspect, text

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
