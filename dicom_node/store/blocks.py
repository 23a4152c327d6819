"""Blocks of memory that a disk reads from directly, and threads that work on them meanwhile."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable
from queue import SimpleQueue

BLOCK = 768 << 10  # bytes; page-aligned, as O_DIRECT wants them (open(2))
HALF = BLOCK // 2
_SPARE = 2  # blocks that are kept for the next object instead of being given back
_spare: list[Block] = []


class Block:
    """``BLOCK`` bytes that lie on a page's border; others may be at work on either half."""

    def __init__(self) -> None:
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self.memory = memoryview(mmap.mmap(-1, BLOCK, private))
        self._under_way: dict[int, list[Task]] = {0: [], HALF: []}

    def begin(self, half: int, helper: Helper, work: Callable[[], object]) -> None:
        """Have a helper do this with the half that begins at byte ``half``."""
        self._under_way[half].append(helper.begin(work))

    def join(self, *halves: int) -> None:
        """Wait until nobody works on these halves any more.

        Raises
        ------
        Exception
            What the work ended with; of a write, an ``OSError``.

        """
        tasks = [task for half in halves for task in self._under_way[half]]
        for half in halves:
            self._under_way[half] = []
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
    """Something to do, and what came of it."""

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

    def begin(self, work: Callable[[], object]) -> Task:
        """Do this after what was begun before."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        task = Task(work)
        self._queue.put(task)
        return task

    def _run(self) -> None:
        while True:
            self._queue.get().run()
