"""Real databases for the ledger's tests, and the passing of time in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Float, Row, create_engine, delete, insert, select, text, update

from dicom_node.store import audit_tables
from dicom_node.store import tables as t
from dicom_node.store.database import Database

SUPERUSER = "postgres"


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server of our own, reached through a socket in its folder."""

    folder: Path

    def url(self, name: str) -> str:
        """The SQLAlchemy URL of one of its databases."""
        return f"postgresql+psycopg://{SUPERUSER}@/{name}?host={self.folder}"

    def create(self, name: str) -> str:
        """Make an empty database; its URL."""
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}" STRATEGY wal_log'))
        engine.dispose()
        return self.url(name)


def postgres_programs() -> Path | None:
    """The folder with ``initdb`` of the newest PostgreSQL, or ``None``."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return debian[-1].parent if debian else None


@contextmanager
def running_postgres(programs: Path) -> Iterator[Postgres]:
    """A fresh server without TCP, as user ``postgres`` where we are root; gone at the end."""
    # Short and open to the server's user: pytest's own folders are neither.
    folder = Path(tempfile.mkdtemp(prefix="ledger-"))
    user = SUPERUSER if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [programs / program, *arguments],
            check=True,
            user=user,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    # Durability is PostgreSQL's own affair; without fsync the tests are several times as fast.
    options = f"-k {folder} -c listen_addresses= -c fsync=off -c max_connections=60"
    data, log = f"{folder}/data", f"{folder}/log"
    try:
        run("initdb", "-D", data, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-sync")
        run("pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start")
        try:
            yield Postgres(folder)
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def empty(database: Database) -> None:
    """Remove every row; counters start anew."""
    names = ", ".join(table.name for table in t.metadata.sorted_tables)
    with database.write() as connection:
        connection.execute(insert(audit_tables.audit_door).values(opened_by="a test"))
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))


def let_pass(database: Database, seconds: float) -> None:
    """Let time pass for everything in the ledger: every moment lies longer ago."""
    with database.write() as connection:
        connection.execute(insert(audit_tables.audit_door).values(opened_by="a test"))
        for table in t.metadata.sorted_tables:
            times = [column for column in table.columns if isinstance(column.type, Float)]
            if times:
                values = {column.name: column - seconds for column in times}
                connection.execute(update(table).values(values))
        connection.execute(delete(audit_tables.audit_door))


def audit(database: Database) -> None:
    """Compare every state with its history: the fold of the events is the state."""
    with database.read() as connection:
        events = connection.execute(select(t.events).order_by(t.events.c.id)).all()
        subjects = {
            "study": (t.studies, t.studies.c.study_instance_uid, "open"),
            "job": (t.jobs, t.jobs.c.id, ""),
            "delivery": (t.deliveries, t.deliveries.c.id, "waiting"),
        }
        for subject, (table, key, first) in subjects.items():
            own = [event for event in events if event.subject == subject]
            history = _fold(own, first)
            for row in connection.execute(select(key.label("key"), table.c.state)):
                assert row.state == history.get(str(row.key), first), (subject, row)


def _fold(events: Sequence[Row[Any]], first: str) -> dict[str, str]:
    """The last state of each subject; every event starts where the one before it ended."""
    history: dict[str, str] = {}
    for event in events:
        name = event.subject_id.split(" ")[0]
        assert event.from_state == history.get(name, first), event
        assert event.actor, event
        history[name] = event.to_state
    return history
