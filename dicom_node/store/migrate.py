"""The database's schema brought to this version."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.errors import LedgerError
from dicom_node.store.database import Database

# Beside the package both in a checkout and in an installed wheel.
MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def alembic_config(database: Database) -> Config:
    """How Alembic finds the revisions and the database."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["database"] = database
    return config


def migrate(database: Database) -> None:
    """Apply every migration that is missing."""
    try:
        command.upgrade(alembic_config(database), "head")
    except SQLAlchemyError as error:
        raise LedgerError(f"database: migration failed: {type(error).__name__}: {error}") from error


def pending(database: Database) -> bool:
    """Whether the schema is older than this version."""
    head = ScriptDirectory.from_config(alembic_config(database)).get_current_head()
    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision() != head
