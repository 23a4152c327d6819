"""A look into a node's database by its driver alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg


class View:
    """Plain SQL against a node's database, by a driver alone: nothing of the product is used."""

    def __init__(self, url: str) -> None:
        self._url = url

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """What a SELECT with ``?`` gives, as dictionaries."""
        with self._connected() as connection:
            cursor = connection.execute(self._in_dialect(query), tuple(values))
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def change(self, statement: str, values: Sequence[Any] = ()) -> None:
        with self._connected() as connection:
            connection.execute(self._in_dialect(statement), tuple(values))
            connection.commit()

    def _in_dialect(self, text: str) -> str:
        return text if self._url.startswith("sqlite") else text.replace("?", "%s")

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        if self._url.startswith("sqlite"):
            with closing(sqlite3.connect(self._url.removeprefix("sqlite:///"), 15)) as connection:
                yield connection
            return
        dsn = self._url.replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(dsn, connect_timeout=5) as connection:
            yield connection
