"""How Alembic reaches the ledger's database."""

from __future__ import annotations

from alembic import context

from dicom_node.settings import config_file, load_settings
from dicom_node.store import ledger  # noqa: F401 - with it every table is known
from dicom_node.store.database import Database
from dicom_node.store.tables import metadata


def run() -> None:
    """Run the migrations in one transaction, one process at a time."""
    database = context.config.attributes.get("database")
    if database is None:  # the `alembic` command of a developer
        database = Database(load_settings(config_file()).ledger_url)
    with database.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # Several nodes may start at once; the second waits, then finds nothing to do.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(726177345)")
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_as_batch=connection.dialect.name == "sqlite",
            compare_type=True,
        )
        # The engine's transaction is the one: Alembic shall not open its own.
        context.run_migrations()


run()
