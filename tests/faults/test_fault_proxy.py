"""The proxy that spoils connections does to them what it says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.faults.proxy import FaultProxy, Weather


class Echo:
    """Answers with what it gets, and counts it."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.got = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            while True:
                try:
                    chunk = connection.recv(4096)
                    self.got += len(chunk)
                    connection.sendall(chunk)
                except OSError:
                    return
                if not chunk:
                    return

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[FaultProxy]:
    made = FaultProxy(echo.port)
    yield made
    made.close()


def call(proxy: FaultProxy, timeout: float = 5.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout)


def heard(connection: socket.socket, length: int) -> bytes:
    answer = b""
    while len(answer) < length:
        chunk = connection.recv(4096)
        if not chunk:
            break
        answer += chunk
    return answer


def talk(connection: socket.socket) -> None:
    """Say something and wait for the answer, again and again until the connection is cut."""
    for _ in range(100_000):
        connection.sendall(b"x" * 1000)
        if connection.recv(1000) == b"":
            raise ConnectionError


def test_in_good_weather_everything_passes(proxy: FaultProxy) -> None:
    with call(proxy) as connection:
        connection.sendall(b"x" * 100_000)
        assert heard(connection, 100_000) == b"x" * 100_000
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert proxy.passed == 100_000


def test_a_cut_comes_after_the_very_byte(proxy: FaultProxy, echo: Echo) -> None:
    proxy.change(Weather(cut_after=12_345))
    with call(proxy) as connection, pytest.raises(ConnectionError):
        talk(connection)
    assert proxy.passed == 12_345
    assert echo.got <= 12_345  # a reset may overtake the last bytes
    with call(proxy) as connection:  # one cut, then it passes again
        connection.sendall(b"again")
        assert heard(connection, 5) == b"again"


def test_a_refused_port_is_closed_until_the_weather_calms(proxy: FaultProxy) -> None:
    before = call(proxy)
    proxy.change(Weather(refuse=True))
    with pytest.raises(ConnectionRefusedError):
        call(proxy)
    with before, pytest.raises(ConnectionError):
        talk(before)
    proxy.calm()
    with call(proxy) as connection:
        connection.sendall(b"y")
        assert heard(connection, 1) == b"y"


def test_nothing_comes_out_of_a_black_hole(proxy: FaultProxy, echo: Echo) -> None:
    proxy.change(Weather(black_hole=True))
    with call(proxy, timeout=0.3) as connection:
        connection.sendall(b"x")
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert echo.got == 0


def test_half_open_the_answer_alone_is_lost(proxy: FaultProxy, echo: Echo) -> None:
    proxy.change(Weather(half_open=True))
    with call(proxy, timeout=0.3) as connection:
        connection.sendall(b"x")
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert echo.got == 1


def test_slow_and_late_connections_lose_nothing(proxy: FaultProxy) -> None:
    proxy.change(Weather(bytes_per_s=100_000, latency_s=0.01))
    with call(proxy) as connection:
        connection.sendall(b"x" * 5000)
        assert heard(connection, 5000) == b"x" * 5000
