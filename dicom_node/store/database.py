"""One SQL database, with the same durability on SQLite as on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Float,
    Table,
    create_engine,
    event,
    exists,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from dicom_node.errors import CommitUnknown, LedgerError, RowRefused
from dicom_node.store.turn import Turn

BUSY_TIMEOUT_MS = 5000
CACHE_KIB = 256  # of each connection; what is not in it is in the operating system's


class DatabaseNow(FunctionElement[float]):
    """Seconds since 1970 by the database's clock: no worker's clock ever decides a lease."""

    type = Float(53)
    inherit_cache = True


@compiles(DatabaseNow, "sqlite")
def _sqlite_now(_element: DatabaseNow, _compiler: SQLCompiler, **_: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(DatabaseNow)
def _other_now(_element: DatabaseNow, _compiler: SQLCompiler, **_: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return "extract(epoch from clock_timestamp())::float8"


class Database:
    """Transactions on one engine; every fault surfaces as a ``LedgerError``."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        path = self.engine.url.database if self.engine.dialect.name == "sqlite" else None
        self._turn = Turn(Path(f"{path}-turn")) if path else None

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is durable when the block ends, or did nothing."""
        committing = False
        try:
            with self._in_turn(), self.engine.begin() as connection:
                yield connection
                committing = self.engine.dialect.name != "sqlite"  # there an error rolls back
        except SQLAlchemyError as error:
            kind: type[LedgerError] = CommitUnknown if committing else LedgerError
            if _concerns_a_row(error):
                kind = RowRefused
            raise kind(f"database refused: {_first_line(error)}") from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view that changes nothing."""
        try:
            with self.engine.connect() as connection:
                connection.execution_options(read_only=True)
                with connection.begin():
                    yield connection
        except SQLAlchemyError as error:
            raise LedgerError(f"database refused: {_first_line(error)}") from error

    def finds(self, condition: ColumnElement[bool]) -> bool:
        """Whether any row is so: a look that finds nothing must not take the turn of a writer."""
        with self.read() as connection:
            return bool(connection.execute(select(exists().where(condition))).scalar_one())

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()
        if self._turn is not None:
            self._turn.close()

    def _in_turn(self) -> AbstractContextManager[None]:
        return nullcontext() if self._turn is None else self._turn.taken()


_NOW = select(DatabaseNow())


def now(connection: Connection) -> float:
    """The database's time."""
    return float(connection.execute(_NOW).scalar_one())


def insert_if_absent(connection: Connection, table: Table, **values: object) -> bool:
    """Insert a row unless a unique constraint says that it is there; whether it was inserted."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).values(**values).on_conflict_do_nothing()
    # SQLAlchemy asks PostgreSQL for the new key and then forgets how many rows there were.
    options = {"preserve_rowcount": True}
    return connection.execute(statement, execution_options=options).rowcount == 1


def _concerns_a_row(error: SQLAlchemyError) -> bool:
    """Whether what was to be written is at fault, or two transactions that met."""
    if isinstance(error, IntegrityError | DataError):
        return True
    if isinstance(error, DBAPIError):
        # SQLSTATE class 40: PostgreSQL ended one of several that waited for each other.
        return str(getattr(error.orig, "sqlstate", "") or "").startswith("40")
    return isinstance(error, StatementError)


def _first_line(error: SQLAlchemyError) -> str:
    if not isinstance(error, DBAPIError):
        return type(error).__name__  # the pool has no connection left, for example
    # Only the driver's own words: SQLAlchemy would add the statement and its parameters.
    return str(error.orig).splitlines()[0] if str(error.orig) else type(error.orig).__name__


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        options = "-c synchronous_commit=on -c statement_timeout=15s -c lock_timeout=3s"
        engine = create_engine(
            url,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={"options": options, "connect_timeout": 5},
        )
        event.listen(engine, "begin", _begin_postgresql)
        return engine
    engine = create_engine(
        url,
        hide_parameters=True,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1e3},
        pool_use_lifo=True,  # a few connections with warm caches, not all in turn
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI connection
    # SQLAlchemy shall say BEGIN, not the driver: only so can writers say BEGIN IMMEDIATE.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # WAL with NORMAL would lose the last commits in a power cut
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "foreign_keys=ON",
        f"cache_size=-{CACHE_KIB}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("read_only", False)
    # IMMEDIATE: a reader that becomes a writer in mid-transaction would fail instead of wait.
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get("read_only", False):
        # Several queries of one look shall see one moment, as they do on SQLite.
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
