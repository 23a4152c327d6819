"""The processes that receive: started, given connections, started again when one dies."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from dicom_node.errors import LedgerError
from dicom_node.listen import DRAIN_S
from dicom_node.logs import logger
from dicom_node.settings import Settings, child_environment, write_effective
from dicom_node.store.ledger import Ledger
from dicom_node.wire.gate import Gate
from dicom_node.wire.handover import Channel

MOST = 2  # by default: a third one has nothing to do at a hospital's rate
START_S = 30.0
AGAIN_S = 1.0  # before one that died is started again
END_S = DRAIN_S + 10.0


def processes_of(settings: Settings) -> int:
    """How many processes receive; none where the node's own does."""
    wanted = settings.listener.processes
    return min(MOST, os.cpu_count() or 1) if wanted < 0 else wanted


class _Receiver:
    """One of them, with what it has in hand."""

    def __init__(self, config: Path) -> None:
        self.channel, theirs = Channel.pair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter, fixed arguments
                [sys.executable, "-m", "dicom_node.receiver", str(theirs.fileno())],
                env=child_environment(config),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self.ready = threading.Event()
        self.connections: Counter[str] = Counter()
        self.seats: Counter[str] = Counter()
        self.rows: set[int] = set()


class Receivers:
    """All of them. ``news`` is called when an object has come, or an association has ended."""

    def __init__(
        self, settings: Settings, ledger: Ledger, gate: Gate, news: Callable[[], None]
    ) -> None:
        self._config = write_effective(settings, "receiver.json")
        self._number = processes_of(settings)
        self._ledger = ledger
        self._gate = gate
        self._news = news
        self._log = logger("receivers")
        self._lock = threading.Lock()
        self._all: list[_Receiver] = []
        self._stopping = False

    def start(self) -> None:
        """Start them; whoever calls before they are up waits a moment."""
        for _ in range(self._number):
            self._start()

    def hand(self, connection: socket.socket, address: tuple[str, int], secure: bool) -> None:  # noqa: FBT001 - as the port says it
        """Give a connection to whoever has the fewest."""
        host, port = address[:2]
        end = time.monotonic() + START_S
        words = ("take", host, str(port), "tls" if secure else "")
        while not self._given(connection, host, words):
            if self._stopping or time.monotonic() > end:
                raise OSError("no process is there to receive")
            time.sleep(0.05)  # one that died is being started again
        connection.close()

    def _given(self, connection: socket.socket, host: str, words: tuple[str, ...]) -> bool:
        with self._lock:
            ready = [one for one in self._all if one.ready.is_set()]
            best = min(ready, key=lambda one: one.connections.total(), default=None)
            if best is None:
                return False
            best.connections[host] += 1  # before the other end can say that it has left
            if best.channel.hand(connection, *words):
                return True
            best.connections[host] -= 1
            best.ready.clear()
            return False

    def rows(self) -> list[int]:
        """Associations of theirs that are open in the log."""
        with self._lock:
            receivers = list(self._all)
        return [row for receiver in receivers for row in tuple(receiver.rows)]

    def stop(self) -> None:
        """Let them finish what they have in hand, then end."""
        with self._lock:
            self._stopping = True
            receivers = list(self._all)
        for receiver in receivers:
            receiver.channel.say("stop")
        end = time.monotonic() + END_S
        for receiver in receivers:
            try:
                receiver.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._log.error("receiver does not stop, killing it", pid=receiver.process.pid)
                receiver.process.kill()
                receiver.process.wait()

    def _start(self) -> _Receiver:
        receiver = _Receiver(self._config)
        with self._lock:
            self._all.append(receiver)
        threading.Thread(
            target=self._listen_to, args=(receiver,), name="receiver", daemon=True
        ).start()
        self._log.info("receiver started", pid=receiver.process.pid)
        return receiver

    def _listen_to(self, receiver: _Receiver) -> None:
        while (message := receiver.channel.hear()) is not None:
            self._act(receiver, *message.words)
        receiver.process.wait()
        self._clear(receiver)
        if not self._stopping:
            self._log.error("receiver ended, starting another", status=receiver.process.returncode)
            time.sleep(AGAIN_S)
            if not self._stopping:
                self._start()

    def _act(self, receiver: _Receiver, word: str, *rest: str) -> None:
        """Do what one of them says."""
        if word == "news":
            self._news()
        elif word == "seat":
            number, address = rest
            full = self._gate.seat(address)
            if not full:
                receiver.seats[address] += 1
            receiver.channel.say("seat", number, full)
        elif word == "unseated":
            receiver.seats[rest[0]] -= 1
            self._gate.unseat(rest[0])
        elif word == "left":
            with self._lock:
                receiver.connections[rest[0]] -= 1
            self._gate.leave(rest[0])
        elif word == "row":
            key, is_open = int(rest[0]), bool(rest[1])
            (receiver.rows.add if is_open else receiver.rows.discard)(key)
        elif word == "ready":
            receiver.ready.set()

    def _clear(self, receiver: _Receiver) -> None:
        """Give back what one that is gone had in hand, and close its associations in the log."""
        with self._lock:
            receiver.ready.clear()
            self._all.remove(receiver)
        for address in receiver.connections.elements():
            self._gate.leave(address)
        for address in receiver.seats.elements():
            self._gate.unseat(address)
        receiver.channel.close()
        if receiver.rows:
            try:
                self._ledger.associations.close_lost(those=receiver.rows)
            except LedgerError as error:
                self._log.error("associations of a dead receiver not closed", reason=str(error))
        self._news()
