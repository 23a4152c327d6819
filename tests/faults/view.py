"""A look into a node's database by its driver alone."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg


class View:
    """Plain SQL against a node's database: nothing of the product is used.

    Its one connection lasts until it fails; then the next query opens another.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None
        self._lock = threading.Lock()

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """What a SELECT with ``?`` gives, as dictionaries."""
        with self._connected() as connection:
            cursor = connection.execute(self._in_dialect(query), tuple(values))
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def change(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Carry out a statement; how many rows it changed."""
        with self._connected() as connection:
            return int(connection.execute(self._in_dialect(statement), tuple(values)).rowcount)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All queries of the block see one moment."""
        sqlite = self._url.startswith("sqlite")
        self.change("BEGIN" if sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ")
        try:
            yield
        finally:
            self.change("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _in_dialect(self, text: str) -> str:
        return text if self._url.startswith("sqlite") else text.replace("?", "%s")

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                yield self._connection
            except Exception:
                self._drop()
                raise

    def _connect(self) -> Any:
        """Every statement is a transaction of its own."""
        if self._url.startswith("sqlite"):
            file = self._url.removeprefix("sqlite:///")
            return sqlite3.connect(file, 15, isolation_level=None, check_same_thread=False)
        dsn = self._url.replace("postgresql+psycopg://", "postgresql://")
        return psycopg.connect(dsn, connect_timeout=5, autocommit=True)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()
