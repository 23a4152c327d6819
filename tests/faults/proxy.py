"""A TCP proxy that spoils connections on demand: cut, unheard, slow, late, refused."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from tests.peers import free_port

CHUNK = 16384
LOOK_S = 0.05
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST


@dataclass(frozen=True)
class Weather:
    """What happens to connections; the default is nothing.

    ``cut_after`` counts bytes on their way to the target over all connections and cuts once.
    """

    refuse: bool = False
    black_hole: bool = False  # accepted, and nothing ever passes
    half_open: bool = False  # what the target says never arrives
    cut_after: int | None = None
    bytes_per_s: int | None = None
    latency_s: float = 0.0


class FaultProxy:
    """Listens on ``port`` and passes everything on to ``target``, in the present weather."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.target = target
        self.passed = 0  # bytes to the target since the last change of weather
        self.cuts = 0
        self._weather = Weather()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._server: socket.socket | None = None
        self._listen()

    def change(self, weather: Weather) -> None:
        """Let new weather begin; a refused port is really closed."""
        with self._lock:
            self._weather, self.passed = weather, 0
        if weather.refuse:
            self._stop_listening()
            self.cut()
        elif self._server is None:
            self._listen()

    @property
    def weather(self) -> Weather:
        return self._weather

    def calm(self, *, cut: bool = True) -> None:
        """Pass everything on again; what was spoilt is cut, unless it shall stay as it is."""
        spoilt = self._weather != Weather()
        self.change(Weather())
        if cut and spoilt:
            self.cut()

    def cut(self) -> None:
        """Reset every connection."""
        with self._lock:
            pairs = list(self._pairs)
        self.cuts += len(pairs)
        for pair in pairs:
            _reset(pair)

    def close(self) -> None:
        self._closed.set()
        self._stop_listening()
        self.cut()

    def _listen(self) -> None:
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", self.port))
        server.listen(64)
        self._server = server
        threading.Thread(target=self._accept, args=(server,), daemon=True).start()

    def _stop_listening(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept
            server.close()

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        try:
            target = socket.create_connection(("127.0.0.1", self.target), timeout=5)
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()
            return
        pair = (client, target)
        for end in pair:
            end.settimeout(30)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._pairs.add(pair)
            late = self._weather.refuse  # it came in just before the port was closed
        try:
            if late:
                raise ConnectionRefusedError
            self._carry(client, target)
        except OSError:
            _reset(pair)
        finally:
            with self._lock:
                self._pairs.discard(pair)
            client.close()
            target.close()

    def _carry(self, client: socket.socket, target: socket.socket) -> None:
        """Carry bytes both ways until both ends have said goodbye."""
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, target)
            selector.register(target, selectors.EVENT_READ, client)
            while selector.get_map() and not self._closed.is_set():
                if self._weather.black_hole:
                    time.sleep(LOOK_S)
                else:
                    self._carry_what_is_there(selector, client)

    def _carry_what_is_there(self, selector: selectors.BaseSelector, client: socket.socket) -> None:
        for key, _ in selector.select(LOOK_S):
            source = key.fileobj
            assert isinstance(source, socket.socket)
            if not self._carry_once(source, key.data, upward=source is client):
                selector.unregister(source)

    def _carry_once(self, source: socket.socket, sink: socket.socket, *, upward: bool) -> bool:
        """Carry what is there one way; ``False`` when that way has ended."""
        weather = self._weather
        chunk = source.recv(CHUNK if weather.bytes_per_s is None else 1024)
        if not chunk:
            with suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
            return False
        if weather.latency_s:
            time.sleep(weather.latency_s)
        if weather.bytes_per_s is not None:
            time.sleep(len(chunk) / weather.bytes_per_s)
        if weather.half_open and not upward:
            return True
        if upward:
            chunk = self._until_the_cut(chunk)
        sink.sendall(chunk)
        if upward and self._cut_now():
            raise ConnectionResetError
        return True

    def _until_the_cut(self, chunk: bytes) -> bytes:
        with self._lock:
            limit = self._weather.cut_after
            if limit is not None:
                chunk = chunk[: max(0, limit - self.passed)]
            self.passed += len(chunk)
            return chunk

    def _cut_now(self) -> bool:
        with self._lock:
            limit = self._weather.cut_after
            if limit is None or self.passed < limit:
                return False
            self._weather = replace(self._weather, cut_after=None)
            self.cuts += 1
            return True


def _reset(pair: tuple[socket.socket, socket.socket]) -> None:
    for end in pair:
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
