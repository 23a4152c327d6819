"""The socket of one association: never blocking, read in large pieces into one buffer."""

from __future__ import annotations

import select
import socket as sockets
import ssl
import time
from typing import TYPE_CHECKING

from pynetdicom import evt
from pynetdicom.transport import AssociationSocket

if TYPE_CHECKING:
    from pynetdicom.association import Association

BUFFER = 384 * 1024
WOULD_BLOCK = -1
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError, InterruptedError)


class NothingSaidError(OSError):
    """A connection that ended before its first byte, as load balancers make them."""


class Connection(AssociationSocket):
    """``AssociationSocket`` with a buffer: ``buffer[low:high]`` has come and is not yet taken."""

    socket: sockets.socket | None

    def __init__(self, assoc: Association, client_socket: sockets.socket, send_s: float) -> None:
        super().__init__(assoc, client_socket=client_socket)
        client_socket.setblocking(False)  # noqa: FBT003 - the socket library's signature
        client_socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        self._send_s = send_s
        # Anonymous memory: what no byte has reached costs nothing.
        self._memory = bytearray(BUFFER)
        self.buffer = memoryview(self._memory)
        self.low = self.high = 0

    def secure(self, context: ssl.SSLContext, within_s: float) -> None:
        """Shake hands as a TLS server, within so many seconds in all.

        Raises
        ------
        OSError
            When the peer is too slow, goes away, or does not speak TLS as we do.

        """
        plain = self.socket
        assert plain is not None  # noqa: S101 - nobody has closed it yet
        end = time.monotonic() + within_s
        self._await(select.POLLIN, end)
        if not plain.recv(1, sockets.MSG_PEEK):
            raise NothingSaidError("the peer hung up without a word")
        secured = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self.socket = secured
        while True:
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                self._await(select.POLLIN, end)
            except ssl.SSLWantWriteError:
                self._await(select.POLLOUT, end)
            else:
                return

    def fill(self) -> int:
        """Read what is there into the free end: bytes, 0 at the end of all, or ``WOULD_BLOCK``."""
        if self.socket is None:
            return 0
        if self.low == self.high:
            self.low = self.high = 0
        elif self.low:
            rest = self.high - self.low
            self.buffer[:rest] = self.buffer[self.low : self.high]
            self.low, self.high = 0, rest
        before = self.high
        try:
            while self._read_once():
                pass
        except _NOT_NOW:
            if self.high == before:
                return WOULD_BLOCK
        except OSError:
            return 0
        return self.high - before

    def _read_once(self) -> bool:
        """Read; whether to go on: TLS gives one record at a time, however much room there is."""
        if self.high == BUFFER:
            return False
        size = self._socket().recv_into(self.buffer[self.high :])
        self.high += size
        return bool(size) and isinstance(self.socket, ssl.SSLSocket)

    def recv(self, nr_bytes: int) -> bytearray:
        """Bytes of the buffer: pynetdicom asks for a PDU once all of it is there."""
        taken = bytearray(self.buffer[self.low : min(self.high, self.low + nr_bytes)])
        self.low += len(taken)
        return taken

    def send(self, bytestream: bytes) -> None:
        """Send all of it, or say that the connection is lost, as the base class does."""
        left, end = memoryview(bytestream), time.monotonic() + self._send_s
        try:
            while left:
                try:
                    left = left[self._socket().send(left) :]
                except ssl.SSLWantReadError:
                    self._await(select.POLLIN, end)
                except (BlockingIOError, ssl.SSLWantWriteError):
                    self._await(select.POLLOUT, end)
        except OSError:
            self.event_queue.put("Evt17")  # PS3.8 Table 9-10: transport connection closed
            return
        evt.trigger(self.assoc, evt.EVT_DATA_SENT, {"data": bytestream})

    def discard(self) -> None:
        """Give the memory back now: associations wait for the garbage collector in cycles."""
        self.low = self.high = 0
        self.buffer.release()
        self._memory = bytearray()

    @property
    def descriptor(self) -> int:
        """The socket's number; -1, for which nobody waits, once it is closed."""
        return -1 if self.socket is None else self.socket.fileno()

    def _socket(self) -> sockets.socket:
        if self.socket is None:
            raise OSError("the connection is closed")
        return self.socket

    def _await(self, event: int, end: float) -> None:
        poll = select.poll()
        poll.register(self._socket(), event)
        if not poll.poll(max(0.0, end - time.monotonic()) * 1e3):
            raise TimeoutError("the peer takes too long")
