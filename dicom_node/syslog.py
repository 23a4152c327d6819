"""Messages handed to a syslog receiver (RFC 5424) over TLS (RFC 5425), TCP (RFC 6587) or UDP."""

from __future__ import annotations

import fcntl
import select
import socket
import ssl
import struct
import termios
import time
from collections.abc import Iterable
from datetime import UTC, datetime

from dicom_node.domain.audit import Message
from dicom_node.sections import Audit

TIMEOUT_S = 10.0
POLL_S = 0.01
# RFC 5424 6.2.1: facility 10 (security), severity 5 (notice) or 4 (warning).
NOTICE, WARNING = 10 * 8 + 5, 10 * 8 + 4
MSGID = "DICOM+RFC3881"  # PS3.15 A.6
BOM = b"\xef\xbb\xbf"


def framed(message: Message, host: str, pid: int) -> bytes:
    """One syslog message: header, no structured data, the XML as UTF-8 with its mark."""
    moment = datetime.fromtimestamp(message.at, tz=UTC).isoformat(timespec="milliseconds")
    priority = WARNING if message.alert else NOTICE
    header = f"<{priority}>1 {moment} {host or '-'} dicom-node {pid} {MSGID} - "
    return header.encode("ascii", "replace") + BOM + message.xml.encode()


class Receiver:
    """One connection that is kept; ``hand_over`` returns once the other side has everything.

    Syslog has no answer. What counts is that the peer's kernel has acknowledged every byte while
    the connection was alive: what a broken connection may have swallowed is sent again.
    """

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._socket: socket.socket | None = None

    def hand_over(self, payloads: Iterable[bytes]) -> None:
        """Send messages; an ``OSError`` when they may not have arrived: send them again then."""
        try:
            connection = self._connected()
            for payload in payloads:
                if self._audit.transport == "udp":
                    connection.send(payload)
                else:
                    connection.sendall(b"%d %s" % (len(payload), payload))
            if self._audit.transport != "udp":
                _wait_until_taken(connection)
                _require_alive(connection)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is not None:
            try:
                _require_alive(self._socket)
            except OSError:
                self.close()
        if self._socket is None:
            self._socket = self._connect()
        return self._socket

    def _connect(self) -> socket.socket:
        audit = self._audit
        if audit.transport == "udp":
            kinds = socket.getaddrinfo(audit.host, audit.port, type=socket.SOCK_DGRAM)
            datagrams = socket.socket(kinds[0][0], socket.SOCK_DGRAM)
            datagrams.connect(kinds[0][4])
            return datagrams
        plain = socket.create_connection((audit.host, audit.port), TIMEOUT_S)
        if audit.transport == "tcp":
            return plain
        try:
            return context_of(audit).wrap_socket(plain, server_hostname=audit.host)
        except BaseException:
            plain.close()
            raise


def context_of(audit: Audit) -> ssl.SSLContext:
    """TLS as PS3.15 B.12 wants it: 1.2 or newer, the receiver's certificate checked."""
    context = ssl.create_default_context(cafile=str(audit.ca) if audit.ca else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if audit.certificate is not None:
        context.load_cert_chain(audit.certificate, audit.key)
    return context


def _wait_until_taken(connection: socket.socket) -> None:
    """Until the peer's kernel has acknowledged every byte (tcp(7): SIOCOUTQ)."""
    end = time.monotonic() + TIMEOUT_S
    while struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0]:
        if time.monotonic() > end:
            raise TimeoutError("the receiver does not take what it is sent")
        time.sleep(POLL_S)


def _require_alive(connection: socket.socket) -> None:
    """A peer that has hung up can be read from, and gives nothing."""
    if isinstance(connection, ssl.SSLSocket) and connection.pending():
        return
    connection.setblocking(False)  # noqa: FBT003 - the standard library's signature
    try:
        if select.select([connection], [], [], 0)[0] and not connection.recv(4096):
            raise ConnectionResetError("the receiver has closed the connection")
    except (BlockingIOError, ssl.SSLWantReadError):
        return  # TLS 1.3 speaks of sessions after the handshake
    finally:
        connection.settimeout(TIMEOUT_S)
