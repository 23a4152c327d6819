"""A worker that ends itself when exams wait and their messages do not reach it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

GRACE_S = 10.0  # an idle Celery worker stops in one second, unless it hangs


class Watchdog:
    """Asks ``unclaimed_s`` for how long an exam has waited, once this worker was idle as long.

    A worker may be connected and deaf: Celery has lost its consumer after more than one kind of
    reconnection. Nothing but a new process helps.
    """

    def __init__(
        self,
        limit_s: float,
        unclaimed_s: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit_s = limit_s
        self._unclaimed_s = unclaimed_s
        self._clock = clock
        self._busy_at = clock()

    def bites(self, *, busy: bool) -> bool:
        """Whether it is time to end; ``busy`` while this worker has an exam."""
        now = self._clock()
        if busy:
            self._busy_at = now
        if now - self._busy_at < self._limit_s:
            return False
        if self._unclaimed_s() < self._limit_s:
            self._busy_at = now - self._limit_s / 2  # nothing waits: no need to ask each time
            return False
        return True


def end_worker() -> None:
    """End the Celery worker that this process is a child of; its supervisor starts another."""
    parent = os.getppid()
    os.kill(parent, signal.SIGTERM)
    time.sleep(GRACE_S)
    if os.getppid() == parent:
        os.kill(parent, signal.SIGKILL)
