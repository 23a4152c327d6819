"""C-STORE requests written to the wire without copies, on an association that pynetdicom agreed.

pynetdicom negotiates, releases and aborts. Between, `held` takes the socket out of its hands: a
request goes out as headers and slices of the object in few system calls, and the answer is waited
for where it comes in. Measured with pynetdicom's own path: five copies of each byte, and two loops
that sleep a millisecond before they look for the answer.
"""

from __future__ import annotations

import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dsutils import decode
from pynetdicom.transport import AddressInformation, AssociationSocket

from dicom_node.domain.dicom_file import HEAD, data_set_offset
from dicom_node.wire.command import C_STORE_RSP, request
from dicom_node.wire.pdata import COMMAND, LAST, P_DATA_TF, headers

PARK_S = 5.0
MAX_ANSWER = 1 << 20  # bytes of one PDU; a response is a few hundred
MOST_PDU = 1 << 20  # bytes, for peers that set no limit
AT_ONCE = 1 << 20  # bytes handed to the kernel in one call
_IOV_MAX = 1000  # buffers of one call; Linux takes 1024


class WireError(OSError):
    """The peer ended the association, or did not answer in time: what it has is not known."""


class HeldSocket(AssociationSocket):
    """A socket that pynetdicom's reader keeps away from while somebody holds it."""

    def __init__(self, assoc: Association, address: AddressInformation) -> None:
        super().__init__(assoc, address=address)
        self.pending = bytearray()  # PDUs for pynetdicom that were read by the holder
        self._free = threading.Event()
        self._free.set()
        self._parked = threading.Event()

    @property
    def ready(self) -> bool:
        """Whether pynetdicom's reader may read; it waits here while the socket is held."""
        if not self._free.is_set():
            self._parked.set()
            self._free.wait(0.05)
            return False
        return bool(self.pending) or super().ready

    def recv(self, nr_bytes: int) -> bytearray:
        """As pynetdicom's, what was put aside first."""
        first = self.pending[:nr_bytes]
        del self.pending[:nr_bytes]
        return first + super().recv(nr_bytes - len(first)) if len(first) < nr_bytes else first

    def take(self) -> bool:
        """Keep pynetdicom's reader away; whether it is away now."""
        self._parked.clear()
        self._free.clear()
        end = time.monotonic() + PARK_S
        while not self._parked.wait(0.05):
            if time.monotonic() > end or not self.assoc.dul.is_alive():
                return False
        return True

    def give_back(self) -> None:
        """Let pynetdicom's reader read again."""
        self._free.set()


class CallingAE(AE):
    """An application entity whose associations can be held."""

    def _create_socket(
        self,
        assoc: Association,
        address: AddressInformation,
        tls_args: tuple[ssl.SSLContext, str] | None,
    ) -> AssociationSocket:
        sock = HeldSocket(assoc, address)
        sock.tls_args = tls_args
        return sock


class Line:
    """An association that is held."""

    def __init__(self, assoc: Association, sock: HeldSocket) -> None:
        self._assoc = assoc
        self._sock = sock
        self._number = 0
        most = assoc.acceptor.maximum_length or MOST_PDU  # PS3.8 D.1: 0 is no limit
        self._room = min(most, MOST_PDU) - 6  # length, context and control header of the PDV

    def store(
        self, context_id: int, sop_class_uid: str, sop_instance_uid: str, content: memoryview
    ) -> Dataset:
        """Send one encoded data set as a C-STORE; the response's command set.

        Raises
        ------
        WireError
            When there is no answer: the peer may have stored it, or not.

        """
        self._number = self._number % 0xFFFF + 1
        command = request(self._number, sop_class_uid, sop_instance_uid)
        try:
            self._write(context_id, command, content)
            return self._answer()
        except (OSError, ssl.SSLError) as error:
            if isinstance(error, WireError):
                raise
            raise WireError(f"connection lost ({error.strerror or type(error).__name__})") from None

    def _write(self, context_id: int, command: bytes, content: memoryview) -> None:
        parts: list[bytes | memoryview] = []
        size = 0
        for pdu in self._pdus(context_id, command, content):
            parts += pdu
            size += len(pdu[1])
            if size >= AT_ONCE or len(parts) >= _IOV_MAX - 1:
                self._send(parts)
                parts, size = [], 0
        self._send(parts)

    def _pdus(
        self, context_id: int, command: bytes, content: memoryview
    ) -> Iterator[tuple[bytes, bytes | memoryview]]:
        """Header and body of each P-DATA-TF PDU (PS3.8 9.3.5), of one PDV each."""
        yield headers(context_id, COMMAND | LAST, len(command)), command
        for start in range(0, len(content), self._room):
            body = content[start : start + self._room]
            last = start + self._room >= len(content)
            yield headers(context_id, LAST if last else 0, len(body)), body

    def _send(self, parts: list[bytes | memoryview]) -> None:
        sock = self._sock.socket
        if sock is None:
            raise WireError("the peer has hung up")
        if isinstance(sock, ssl.SSLSocket):  # no scatter and gather there
            sock.sendall(b"".join(parts))
            return
        while parts:
            sent = sock.sendmsg(parts)
            done = 0
            while done < len(parts) and sent >= len(parts[done]):
                sent -= len(parts[done])
                done += 1
            del parts[:done]
            if sent:
                parts[0] = memoryview(parts[0])[sent:]

    def _answer(self) -> Dataset:
        """Read until the answer is there; what else comes is pynetdicom's."""
        command = bytearray()
        while True:
            head = self._read(6)
            kind, _, length = struct.unpack(">BBL", head)
            if length > MAX_ANSWER:
                raise WireError("the peer answers with nonsense")
            body = self._read(length)
            if kind != P_DATA_TF:
                self._sock.pending += head + body
                raise WireError("the peer ended the association without an answer")
            complete = False
            for control, data in _fragments(body):
                if control & COMMAND:
                    command += data
                    complete = bool(control & LAST)
            if not complete:
                continue
            answer = decode(BytesIO(command), True, True)  # noqa: FBT003 - PS3.7 6.3.1
            own = answer.get("MessageIDBeingRespondedTo") == self._number
            if answer.get("CommandField") == C_STORE_RSP and own:
                return answer
            self._sock.pending += head + body
            command.clear()

    def _read(self, size: int) -> bytes:
        sock = self._sock.socket
        if sock is None:
            raise WireError("the peer has hung up")
        found = bytearray()
        while len(found) < size:
            piece = sock.recv(size - len(found))
            if not piece:
                raise WireError("the peer hung up without an answer")
            found += piece
        return bytes(found)


@contextmanager
def held(assoc: Association, answer_s: float) -> Iterator[Line]:
    """An established association without pynetdicom's reader, given back at the end of the block.

    ``answer_s`` is how long the peer may be silent. After a ``WireError`` of the line the caller
    must abort the association: a late answer would be taken for that of the next object.

    Raises
    ------
    WireError
        When the association has ended.

    """
    sock = assoc.dul.socket
    if not isinstance(sock, HeldSocket):
        raise WireError("the association has ended")
    try:
        stands_still = _pause(assoc) and sock.take()
        if not stands_still or sock.socket is None or not assoc.is_established:
            raise WireError("the association has ended")
        sock.socket.settimeout(answer_s)
        yield Line(assoc, sock)
    finally:
        if sock.socket is not None:
            sock.socket.settimeout(None)
        assoc.dul._idle_timer.restart()  # noqa: SLF001 - it has not seen what went by
        sock.give_back()
        _let_go(assoc)


def _pause(assoc: Association) -> bool:
    """Stop pynetdicom's reactor as its own requests do; whether it stands still."""
    assoc._reactor_checkpoint.clear()  # noqa: SLF001 - no public way
    end = time.monotonic() + PARK_S
    while not assoc._is_paused and time.monotonic() < end:  # noqa: SLF001
        time.sleep(0.0002)
    return bool(assoc._is_paused)  # noqa: SLF001


def _let_go(assoc: Association) -> None:
    assoc._reactor_checkpoint.set()  # noqa: SLF001


def dataset_of(content: bytes | memoryview) -> memoryview:
    """The data set in a DICOM file, without preamble and file meta information (PS3.10 7.1)."""
    view = memoryview(content)
    return view[data_set_offset(bytes(view[:HEAD])) :]


def _fragments(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Message control header and data of each PDV in a P-DATA-TF PDU."""
    at = 0
    while at + 6 <= len(body):
        length, _, control = struct.unpack_from(">IBB", body, at)
        if length < 2 or at + 4 + length > len(body):  # noqa: PLR2004 - the two bytes just read
            raise WireError("the peer answers with nonsense")
        yield control, body[at + 6 : at + 4 + length]
        at += 4 + length
