"""Write a new schema revision from the difference between the tables and the migrations."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command

from dicom_node.store.database import Database
from dicom_node.store.migrate import alembic_config, migrate


def main(message: str) -> None:
    """Compare a fresh database at the newest revision with the tables."""
    if not message:
        sys.exit('say what it does: make migration m="..."')
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'ledger.db'}")
        migrate(database)
        command.revision(alembic_config(database), message, autogenerate=True)
        database.close()


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
