"""A sender made of sockets and bytes: fast enough to measure a receiver, free to break rules."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made dynamically

MG = str(DigitalMammographyXRayImageStorageForPresentation)
PLAIN = str(ExplicitVRLittleEndian)
ASSOCIATE_AC, P_DATA, RELEASE_RP, ABORT = 2, 4, 6, 7
_TAKEN_AT_ONCE = 1 << 20  # bytes handed to one system call


def item(kind: int, content: bytes) -> bytes:
    """One item of an A-ASSOCIATE PDU (PS3.8 9.3.2)."""
    return struct.pack(">BBH", kind, 0, len(content)) + content


def associate_rq(
    contexts: Sequence[tuple[str, str]] = ((MG, PLAIN), (str(Verification), PLAIN)),
    called: str = "FAPS",
    calling: str = "MODALITY",
    most: int = 16384,
) -> bytes:
    """An A-ASSOCIATE-RQ; context ids are 1, 3, 5, and so on."""
    body = struct.pack(">HH", 1, 0) + called.encode().ljust(16) + calling.encode().ljust(16)
    body += bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, (sop_class, syntax) in enumerate(contexts):
        parts = item(0x30, sop_class.encode()) if sop_class else b""
        parts += item(0x40, syntax.encode()) if syntax else b""
        body += item(0x20, bytes([2 * number + 1, 0, 0, 0]) + parts)
    user = item(0x51, struct.pack(">I", most)) + item(0x52, b"2.25.1") + item(0x55, b"RAW_SENDER")
    return pdu(1, body + item(0x50, user))


def pdu(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBI", kind, 0, len(content)) + content


def pdv(content: bytes, *, command: bool, last: bool = True, context: int = 1) -> bytes:
    """One P-DATA-TF PDU with one fragment."""
    control = command | last << 1
    return pdu(P_DATA, struct.pack(">IBB", len(content) + 2, context, control) + content)


def element(number: int, value: bytes) -> bytes:
    """One element of a command set."""
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHI", 0, number, len(value)) + value


def c_store_rq(sop_class: str, sop_instance: str, message: int = 1, data: int = 0) -> bytes:
    """The command set of a C-STORE-RQ; ``data`` 0x0101 says that no data set follows."""
    short = struct.Struct("<H").pack
    content = (
        element(0x0002, sop_class.encode()) + element(0x0100, short(1))
        + element(0x0110, short(message)) + element(0x0700, short(0))
        + element(0x0800, short(data)) + element(0x1000, sop_instance.encode())
    )  # fmt: skip
    return element(0, struct.pack("<I", len(content))) + content


def c_echo_rq(message: int = 1, sop_class: str = str(Verification), field: int = 0x30) -> bytes:
    short = struct.Struct("<H").pack
    content = (
        element(0x0002, sop_class.encode()) + element(0x0100, short(field))
        + element(0x0110, short(message)) + element(0x0800, short(0x0101))
    )  # fmt: skip
    return element(0, struct.pack("<I", len(content))) + content


def encoded(ds: Dataset) -> bytes:
    """A data set in Explicit VR Little Endian."""
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, ds)
    return bytes(stream.getvalue())


@dataclass
class Answer:
    """What a response says."""

    status: int
    comment: str = ""
    elements: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Caller:
    """One connection; leaving the block closes it without a word."""

    port: int
    host: str = "127.0.0.1"
    source: str = "127.0.0.1"
    timeout_s: float = 20.0
    most: int = 16384  # bytes of a PDU, at most what the peer allows
    sock: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self.sock = socket.create_connection(
            (self.host, self.port), timeout=self.timeout_s, source_address=(self.source, 0)
        )
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.sock.close()

    def associate(self, **words: Any) -> int:
        """Request an association; the type of the answering PDU."""
        self.sock.sendall(associate_rq(most=self.most, **words))
        kind, body = self.read()
        if kind == ASSOCIATE_AC:
            at = body.index(b"\x51\x00\x00\x04") + 4  # Maximum Length Received
            self.most = min(self.most, struct.unpack_from(">I", body, at)[0] or self.most)
        return kind

    def read(self) -> tuple[int, bytes]:
        """The next PDU, (0, nothing) where the connection has ended."""
        head = self._exactly(6)
        if len(head) < 6:
            return 0, b""
        return head[0], self._exactly(struct.unpack(">I", head[2:])[0])

    def _exactly(self, size: int) -> bytes:
        content = b""
        with contextlib.suppress(ConnectionError):
            while len(content) < size:
                part = self.sock.recv(size - len(content))
                if not part:
                    break
                content += part
        return content

    def answer(self) -> Answer:
        """The next response; 0xFFFF where something else came."""
        kind, body = self.read()
        if kind != P_DATA:
            return Answer(0xFFFF, f"PDU type {kind}")
        elements, at = {}, 6
        while at < len(body):
            _, number, size = struct.unpack_from("<HHI", body, at)
            elements[number] = body[at + 8 : at + 8 + size]
            at += 8 + size
        comment = elements.get(0x0902, b"").decode("ascii").strip()
        return Answer(struct.unpack("<H", elements[0x0900])[0], comment, elements)

    def store(self, sop_instance: str, parts: Sequence[bytes | memoryview]) -> Answer:
        """Send one mammogram, in as few system calls as may be, and wait for the answer."""
        waiting: list[bytes | memoryview] = [pdv(c_store_rq(MG, sop_instance), command=True)]
        size = 0
        for part in self._fragments(parts):
            waiting.append(part)
            size += len(part)
            if size >= _TAKEN_AT_ONCE:
                self._send(waiting)
                waiting, size = [], 0
        self._send(waiting)
        return self.answer()

    def _fragments(self, parts: Sequence[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        left = sum(len(part) for part in parts)
        room = 0
        for part in parts:
            view, at = memoryview(part), 0
            while at < len(view):
                if not room:
                    room = min(self.most - 6, left)
                    left -= room
                    yield struct.pack(">BBIIBB", P_DATA, 0, room + 6, room + 2, 1, 0 if left else 2)
                size = min(room, len(view) - at)
                yield view[at : at + size]
                at += size
                room -= size

    def _send(self, parts: list[bytes | memoryview]) -> None:
        if isinstance(self.sock, ssl.SSLSocket):  # which takes one piece at a time
            self.sock.sendall(b"".join(parts))
            return
        while parts:
            sent = self.sock.sendmsg(parts[:1000])
            while parts and sent >= len(parts[0]):
                sent -= len(parts.pop(0))
            if sent:
                parts[0] = memoryview(parts[0])[sent:]

    def echo(self) -> int:
        """Send a C-ECHO in context 3; its status."""
        self.sock.sendall(pdv(c_echo_rq(), command=True, context=3))
        return self.answer().status

    def release(self) -> None:
        """Release the association and close the connection."""
        self.sock.sendall(pdu(5, bytes(4)))
        self.read()
        self.sock.close()
