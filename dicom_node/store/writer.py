"""Writes of many threads that share transactions: what waits while one commits is the next."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from dicom_node.errors import FapsNodeError, LedgerError, RowRefused
from dicom_node.store.database import Database

LINGER_S = 0.05  # how long a write that nobody waits for may wait for company
Item = TypeVar("Item")
Result = TypeVar("Result")
Said = Callable[[Exception | None], None]


class Order(enum.IntEnum):
    """What comes first within a transaction: an image names the association that it came with."""

    OPENED = 0
    OBJECT = 1
    ENDED = 2
    REJECTED = 3


@dataclass(frozen=True)
class Act(Generic[Item, Result]):
    """One kind of write: all items of a transaction in, a result for each out."""

    order: Order
    write: Callable[[Connection, Sequence[Item]], Sequence[Result]]


def nobody(_error: Exception | None) -> None:
    """Nobody wants to know."""


@dataclass(eq=False)
class _Write:
    """One item on its way."""

    act: Act[Any, Any]
    item: Any
    waits: bool
    said: Said = nobody
    turn: threading.Lock = field(default_factory=threading.Lock)  # held until done or to lead
    result: Any = None
    error: Exception | None = field(
        default_factory=lambda: LedgerError("not written: who was to write it has ended")
    )
    done: bool = False


class Writer:
    """Whoever finds nobody writing writes for all that wait; the others sleep.

    A sender alone pays for no other thread; sixteen share one commit. The thread of ``start`` only
    takes what nobody waits for.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mutex = threading.Lock()
        self._queue: list[_Write] = []
        self._busy = False
        self._sent = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """From now on ``send`` returns at once."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left; from now on ``send`` writes itself."""
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        self._stopping.set()
        self._sent.set()
        thread.join()
        while self._queue:  # came while somebody else was writing
            self._lead_if_idle()
            time.sleep(LINGER_S / 10)

    def write(self, act: Act[Item, Result], item: Item) -> Result:
        """Write an item; durable on return.

        Raises
        ------
        LedgerError
            When the database does not take it.

        """
        mine = _Write(act, item, waits=True)
        mine.turn.acquire()
        with self._mutex:
            self._queue.append(mine)
            leads = not self._busy
            self._busy = True
        if not leads:
            mine.turn.acquire()
        if not mine.done:
            self._lead()
        if mine.error is not None:
            again = mine.error
            # Each of those who waited raises an exception of its own.
            raise type(again)(*again.args) from again
        return mine.result  # type: ignore[no-any-return]  # what the act returned

    def send(self, act: Act[Item, Result], item: Item, said: Said = nobody) -> None:
        """Write an item soon; ``said`` hears when it is durable, or why it is not."""
        if self._thread is None:
            error: Exception | None = None
            try:
                self.write(act, item)
            except FapsNodeError as refused:
                error = refused
            said(error)
            return
        with self._mutex:
            self._queue.append(_Write(act, item, waits=False, said=said))
        self._sent.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._sent.wait()
            self._sent.clear()
            self._stopping.wait(LINGER_S)
            self._lead_if_idle()
        self._lead_if_idle()

    def _lead_if_idle(self) -> None:
        with self._mutex:
            if self._busy or not self._queue:
                return
            self._busy = True
        self._lead()

    def _lead(self) -> None:
        """Write all that waits, then hand over to the first that has come meanwhile."""
        with self._mutex:
            batch, self._queue = self._queue, []
        try:
            self._commit(batch)
        finally:
            self._hand_over(batch)
        for write in batch:
            write.said(write.error)

    def _hand_over(self, batch: Sequence[_Write]) -> None:
        """Wake everybody whose write has been done, and one to do the next ones."""
        with self._mutex:
            heir = next((write for write in self._queue if write.waits), None)
            self._busy = heir is not None
            left = bool(self._queue)
        waiting = [write for write in batch if write.waits]
        for write in waiting:
            write.done = True
            write.turn.release()
        if heir is not None:
            heir.turn.release()
        elif left:
            self._sent.set()

    def _commit(self, batch: Sequence[_Write]) -> None:
        """One transaction for all; where one item spoils it, one transaction for each."""
        error = self._transact(batch)
        if error is None:
            return
        alone = len(batch) > 1 and _concerns_an_item(error)
        for write in sorted(batch, key=_order):
            if alone:
                error = self._transact([write])
                alone = error is None or _concerns_an_item(error)
            write.error = error

    def _transact(self, batch: Sequence[_Write]) -> Exception | None:
        results: list[tuple[_Write, Any]] = []
        try:
            with self._database.write() as connection:
                for act, group in groupby(sorted(batch, key=_order), key=lambda one: one.act):
                    writes = list(group)
                    done = act.write(connection, [write.item for write in writes])
                    results += zip(writes, done, strict=True)
        except Exception as error:  # noqa: BLE001 - each thread that waits raises it itself
            return error
        for write, result in results:
            write.result, write.error = result, None
        return None


def _order(write: _Write) -> Order:
    return write.act.order


def _concerns_an_item(error: Exception) -> bool:
    """Whether others of the batch may fare better; not where the database is away or locked."""
    return isinstance(error, RowRefused) or not isinstance(error, LedgerError)
