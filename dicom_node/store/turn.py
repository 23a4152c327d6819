"""Writers of one SQLite file stand in a queue: left to itself, each sleeps and tries again."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE_S = 1.0


class Turn:
    """Whose turn it is to write, among all threads and processes that have the file open.

    A courtesy and no lock, which stays SQLite's own: who has waited ``patience_s``, because a
    process was stopped in its turn, goes on to that one. SQLite's writers sleep between tries, for
    up to 100 ms, and whoever writes again and again always finds it free; the kernel wakes the
    next one at once.
    """

    def __init__(self, path: Path, patience_s: float = PATIENCE_S) -> None:
        self._path = path
        self._patience_s = patience_s
        self._pid = 0
        self._beginning = threading.Lock()
        self._mutex = threading.Lock()  # held by the thread whose turn it is in this process

    def _begin(self) -> bool:
        """Open the files, after a fork once more: it shares ours, and thereby our turn.

        Where that cannot be, SQLite will say why.
        """
        with self._beginning, suppress(OSError):
            if self._pid != os.getpid():
                self._mutex = threading.Lock()
                self._file = self._open()
                self._usher = _Usher(self._open())
                self._pid = os.getpid()
            return True
        return False

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for one's turn; it ends with the block."""
        if self._pid != os.getpid() and not self._begin():
            yield
            return
        end = time.monotonic() + self._patience_s
        mutex = self._mutex
        alone = mutex.acquire(timeout=self._patience_s)
        try:
            held = self._wait(end) if alone else None
            try:
                yield
            finally:
                _give_back(held)
        finally:
            if alone:
                mutex.release()

    def _wait(self, end: float) -> int | None:
        """Descriptor of the lock once this process has it; None when the time is over."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._usher.bring(end)
        except OSError:
            return None  # this file system knows no such locks
        return self._file

    def close(self) -> None:
        """Give the files back."""
        with self._beginning:
            if self._pid == os.getpid():
                self._pid = 0
                os.close(self._file)
                self._usher.close()


def _give_back(held: int | None) -> None:
    if held is not None:
        with suppress(OSError):  # closed meanwhile; what was committed is committed
            fcntl.flock(held, fcntl.LOCK_UN)


class _Usher:
    """A thread that waits for the lock, which knows no time limit, for one that has one."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._state = threading.Condition()
        self._wanted = self._granted = self._closed = False
        self._thread: threading.Thread | None = None

    def bring(self, end: float) -> int | None:
        """Wait for the lock until ``end``; whoever gets its descriptor gives the lock back."""
        with self._state:
            self._wanted = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="turn", daemon=True)
                self._thread.start()
            self._state.notify_all()
            self._state.wait_for(lambda: self._granted, max(0.0, end - time.monotonic()))
            granted, self._granted, self._wanted = self._granted, False, False
        return self._file if granted else None

    def close(self) -> None:
        """End; the thread closes the file, for it may be waiting in it."""
        with self._state:
            self._closed = True
            if self._thread is None:
                os.close(self._file)
            self._state.notify_all()

    def _run(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._closed or (self._wanted and not self._granted))
                if self._closed:
                    os.close(self._file)
                    return
            fcntl.flock(self._file, fcntl.LOCK_EX)
            with self._state:
                if self._wanted:
                    self._granted = True
                    self._state.notify_all()
                else:  # it took too long
                    fcntl.flock(self._file, fcntl.LOCK_UN)
