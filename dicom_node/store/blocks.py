"""Blocks of memory that a disk reads from directly, and threads that work on them meanwhile."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable
from queue import SimpleQueue

BLOCK = 1 << 20  # bytes; page-aligned, as O_DIRECT wants them (open(2))
_SPARE = 4  # blocks that are kept for the next object instead of being given back
_spare: list[Block] = []


class Block:
    """``BLOCK`` bytes that lie on a page's border."""

    def __init__(self) -> None:
        self.memory = memoryview(mmap.mmap(-1, BLOCK, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        self.under_way: list[Task] = []

    def join(self) -> None:
        """Wait until nobody works on it any more.

        Raises
        ------
        Exception
            What the work ended with; of a write, an ``OSError``.

        """
        tasks, self.under_way = self.under_way, []
        for task in tasks:
            task.done.wait()
        for task in tasks:
            if task.error is not None:
                raise task.error


def take() -> Block:
    """A block that is nobody else's; what is in it means nothing."""
    try:
        return _spare.pop()
    except IndexError:
        return Block()


def give(block: Block) -> None:
    """Hand a block back; nobody works on it any more."""
    if len(_spare) < _SPARE:
        _spare.append(block)


class Task:
    """Something to do with a block."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self.done = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        """Do it; whoever waits for it gets what it ended with."""
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - another thread's affair
            self.error = error
        finally:
            self.done.set()


class Helper:
    """One thread of this process that does one thing after the other."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: SimpleQueue[Task] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, block: Block, work: Callable[[], object]) -> None:
        """Do this with the block, after what was begun before."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        task = Task(work)
        block.under_way.append(task)
        self._queue.put(task)

    def _run(self) -> None:
        while True:
            self._queue.get().run()
