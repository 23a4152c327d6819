"""Fixtures of the tests that need a database."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from dicom_node.store.database import Database
from dicom_node.store.ledger import Ledger
from dicom_node.store.migrate import migrate
from tests.integration.databases import (
    Postgres,
    audit,
    empty,
    postgres_programs,
    running_postgres,
)
from tests.integration.door import Door, MakeDoor

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
_number = count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for the whole session."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("initdb is missing; install Debian's package postgresql")
    with running_postgres(programs) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with every migration applied, to be copied."""
    file = tmp_path_factory.mktemp("migrated") / "ledger.db"
    database = Database(f"sqlite:///{file}")
    migrate(database)
    database.close()
    return file


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Postgres) -> str:
    """A PostgreSQL database with every migration applied, to be emptied."""
    url = postgres.create("migrated")
    database = Database(url)
    migrate(database)
    database.close()
    return url


@pytest.fixture
def new_sqlite_ledger(migrated_sqlite: Path, tmp_path: Path) -> Callable[[], Ledger]:
    """Makes one empty SQLite ledger after the other."""

    def new() -> Ledger:
        file = tmp_path / f"ledger-{next(_number)}.db"
        shutil.copy(migrated_sqlite, file)
        return Ledger(f"sqlite:///{file}")

    return new


@pytest.fixture(params=BOTH)
def ledger(
    request: pytest.FixtureRequest, new_sqlite_ledger: Callable[[], Ledger]
) -> Iterator[Ledger]:
    """An empty ledger on each of the databases; its history is audited at the end."""
    if request.param == "sqlite":
        made = new_sqlite_ledger()
    else:
        made = Ledger(request.getfixturevalue("migrated_postgres"))
        empty(made.database)
    yield made
    audit(made.database)
    made.close()


@pytest.fixture(params=BOTH)
def unmigrated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without a single table, on each of the databases."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
    else:
        server: Postgres = request.getfixturevalue("postgres")
        url = server.create(f"unmigrated_{next(_number)}")
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def make_door(tmp_path: Path) -> Iterator[MakeDoor]:
    """Opens ports with their log; all are closed at the end."""
    doors: list[Door] = []

    def make(**settings: object) -> Door:
        doors.append(Door(tmp_path / "data", **settings))
        return doors[-1]

    yield make
    for door in doors:
        door.close()
