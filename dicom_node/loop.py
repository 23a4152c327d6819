"""A stage's thread: one tick after another until it is told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

from dicom_node.errors import FapsNodeError
from dicom_node.logs import in_words, logger

AFTER_AN_ERROR_S = 2.0


class Loop(threading.Thread):
    """Call ``tick`` again and again; it returns the seconds until it wants to be called next.

    An error never ends the loop: it is logged, and the stage goes on after a pause. What a tick
    left undone is still in the ledger. ``rest_s`` pass between two ticks however often it is woken:
    one tick sees what a hundred wakes were about.
    """

    def __init__(self, name: str, tick: Callable[[], float], rest_s: float = 0.0) -> None:
        super().__init__(name=name, daemon=True)
        self._tick = tick
        self._rest_s = rest_s
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._log = logger(name)

    def run(self) -> None:
        """Work until stopped."""
        while not self._stopped.is_set():
            self._woken.clear()
            if self._stopped.is_set():  # said between the question above and the clearing
                return
            pause = self._tick_safely()
            self._stopped.wait(self._rest_s)
            self._woken.wait(max(0.0, pause - self._rest_s))

    def wake(self) -> None:
        """Call ``tick`` now instead of at the end of its pause."""
        self._woken.set()

    def stop(self) -> None:
        """Finish the tick that runs, then end."""
        self._stopped.set()
        self._woken.set()

    def _tick_safely(self) -> float:
        try:
            return self._tick()
        except FapsNodeError as error:
            self._log.warning("tick failed", code=error.code, reason=str(error))
        except Exception as error:  # noqa: BLE001 - the edge of a stage: it must go on
            self._log.error("tick failed unexpectedly", error=error, reason=in_words(error))
        return AFTER_AN_ERROR_S
