"""Between the process that accepts and those that receive: connections one way, words both."""

from __future__ import annotations

import itertools
import json
import os
import queue
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass

from dicom_node.listener_section import Listener
from dicom_node.wire.gate import Gate

MOST = 4096  # bytes of one message
REPLY_S = 10.0


@dataclass(frozen=True)
class Message:
    """What was said, with the connection that came along."""

    words: tuple[str, ...]
    connection: socket.socket | None = None


class Channel:
    """One end of a Unix socket pair that keeps messages apart; any thread may send."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @staticmethod
    def pair() -> tuple[Channel, socket.socket]:
        """An end to keep and one to give away."""
        mine, yours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return Channel(mine), yours

    def say(self, *words: str) -> None:
        """Send a message, to nobody where the other end has gone."""
        self.hand(None, *words)

    def hand(self, connection: socket.socket | None, *words: str) -> bool:
        """Send a message with a connection; whether the other end is still there."""
        content = json.dumps(words).encode()
        try:
            if connection is None:
                self._end.send(content)
            else:
                socket.send_fds(self._end, [content], [connection.fileno()])
        except OSError:
            return False
        return True

    def hear(self) -> Message | None:
        """The next message; nothing once the other end has gone."""
        try:
            content, descriptors, _, _ = socket.recv_fds(self._end, MOST, 1)
        except OSError:
            return None
        if not content:
            return None
        words = tuple(json.loads(content))
        if not descriptors:
            return Message(words)
        return Message(words, socket.socket(fileno=descriptors[0]))

    def close(self) -> None:
        """Hang up: the other end hears nothing any more."""
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()


class RemoteGate(Gate):
    """The gate as a receiving process sees it: the counts are kept where connections come in."""

    def __init__(self, listener: Listener, channel: Channel) -> None:
        super().__init__(listener)
        self._channel = channel
        self._number = itertools.count()
        self._asked: dict[str, queue.SimpleQueue[str]] = {}
        self._mutex = threading.Lock()

    def leave(self, address: str) -> None:
        """A connection has been closed."""
        self._channel.say("left", address)

    def seat(self, address: str) -> str:
        """Ask for a seat, and wait for the answer."""
        answer: queue.SimpleQueue[str] = queue.SimpleQueue()
        with self._mutex:
            number = str(next(self._number))
            self._asked[number] = answer
        self._channel.say("seat", number, address)
        try:
            return answer.get(timeout=REPLY_S)
        except queue.Empty:
            return "The node is stopping"
        finally:
            with self._mutex:
                del self._asked[number]

    def unseat(self, address: str) -> None:
        """An association has ended."""
        self._channel.say("unseated", address)

    def answered(self, number: str, words: str) -> None:
        """The answer to one of the questions has come."""
        with self._mutex:
            asked = self._asked.get(number)
        if asked is not None:
            asked.put(words)


def inherited(descriptor: int) -> Channel:
    """The end that this process was given by its parent."""
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - the operating system's signature
    return Channel(socket.socket(fileno=descriptor))
