"""What an association waits with: a clock that nobody sets, a queue that wakes its reader."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

from pynetdicom.timer import Timer


class Stopwatch(Timer):
    """pynetdicom's timer on a clock that nobody sets."""

    def start(self) -> None:
        """Begin anew."""
        self._start_time = time.monotonic()
        self._end_time = None

    def stop(self) -> None:
        """Stand still."""
        self._end_time = time.monotonic()

    @property
    def remaining(self) -> float:
        """Seconds left; one that never expires has one second left, as the base class has it."""
        if self.timeout is None or self._start_time is None:
            return super().remaining
        now = time.monotonic() if self._end_time is None else self._end_time
        return self.timeout - (now - self._start_time)


class WakingQueue(queue.Queue[Any]):
    """A queue that wakes whoever waits for it together with other things."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__()
        self._wake = wake

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - the library's signature
        """Put it there and say so."""
        super().put(item, block, timeout)
        self._wake()
