"""How many may be at the port: connections and associations counted, in total and by address."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from dicom_node.listener_section import Listener

# Connections beyond the associations that may be open: whoever is one too many shall be told so
# by a rejection, which needs a connection. Beyond these they are closed without a word.
SPARE_OF_ADDRESS = 8
SPARE = 32
BURST_S = 10.0  # an address may use up its rate of so many seconds at once
REMEMBERED = 4096


class Gate:
    """Counts; every question is answered with nothing, or with the limit that it met in words."""

    def __init__(self, listener: Listener, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = listener.max_associations
        self._most_of_address = listener.max_per_address
        self._rate = listener.accepts_per_s
        self._clock = clock
        self._lock = threading.Lock()
        self._connections: Counter[str] = Counter()
        self._associations: Counter[str] = Counter()
        self._left: dict[str, tuple[float, float]] = {}  # connections left, and since when

    def enter(self, address: str) -> str:
        """One more connection; it must ``leave`` if it was let in."""
        with self._lock:
            if self._too_fast(address):
                return (
                    f"More than {self._rate:g} connections a second came from this address "
                    "(listener.accepts_per_s)"
                )
            if self._connections[address] >= self._most_of_address + SPARE_OF_ADDRESS:
                return self._too_many_of_address()
            if self._connections.total() >= self._most + SPARE:
                return self._too_many()
            self._connections[address] += 1
            return ""

    def leave(self, address: str) -> None:
        """A connection has been closed."""
        with self._lock:
            _less(self._connections, address)

    def seat(self, address: str) -> str:
        """One of the connections asks for an association; it must ``unseat`` if it got one."""
        with self._lock:
            if self._associations[address] >= self._most_of_address:
                return self._too_many_of_address()
            if self._associations.total() >= self._most:
                return self._too_many()
            self._associations[address] += 1
            return ""

    def unseat(self, address: str) -> None:
        """An association has ended."""
        with self._lock:
            _less(self._associations, address)

    def _too_many(self) -> str:
        return f"{self._most} associations were open (listener.max_associations)"

    def _too_many_of_address(self) -> str:
        return (
            f"{self._most_of_address} associations of this address were open "
            "(listener.max_per_address)"
        )

    def _too_fast(self, address: str) -> bool:
        """Whether the address has used up its rate; a token bucket."""
        now, most = self._clock(), self._rate * BURST_S
        left, since = self._left.get(address, (most, now))
        left = min(most, left + (now - since) * self._rate)
        if len(self._left) >= REMEMBERED:
            self._left.clear()
        self._left[address] = (max(0.0, left - 1), now)
        return left < 1


def _less(counter: Counter[str], address: str) -> None:
    counter[address] -= 1
    if counter[address] <= 0:
        del counter[address]
