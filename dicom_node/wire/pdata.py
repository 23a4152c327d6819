"""P-DATA-TF PDUs taken apart in the buffer that they arrived in (PS3.8 9.3.5, Annex E)."""

from __future__ import annotations

import enum
import struct

P_DATA_TF = 0x04
HEADER = 6  # of a PDU: type, reserved, length; and of a PDV: length, context, control
MOST_COMMAND = 16384  # bytes of a command set: a few UIDs and numbers
COMMAND, LAST = 1, 2  # PS3.8 E.2, message control header
_PDU = struct.Struct(">BBI").unpack_from
_PDV = struct.Struct(">IBB").unpack_from
_HEADERS = struct.Struct(">BBIIBB").pack


class Breach(Exception):  # noqa: N818 - of the protocol, by the peer
    """The bytes are not what the protocol allows here; the message says what they are."""


def headers(context_id: int, control: int, size: int) -> bytes:
    """What precedes ``size`` bytes of a fragment that is a P-DATA-TF PDU of its own."""
    return _HEADERS(P_DATA_TF, 0, size + 6, size + 2, context_id, control)


class Step(enum.Enum):
    """Why ``Fragments.take`` came back."""

    MORE = "all that is there was taken"
    COMMAND = "a command set is complete"
    END = "a data set is complete"
    OTHER_PDU = "a PDU that carries no data begins"


class Fragments:
    """Where a stream of PDUs stands; ``take`` goes on as bytes arrive, whatever their portions.

    Fragments of a data set are moved together in the buffer, so that the caller writes them in
    one piece: ``buffer[start:end]``. Nothing here grows with the size of a PDU or data set.
    """

    def __init__(self, most_pdu: int) -> None:
        self._most_pdu = most_pdu
        self._pdu_left = self._pdv_left = 0
        self._last = False
        self.pdus = 0  # begun so far
        self.context_id = 0
        self.command = bytearray()
        self.data_due = False  # set by the caller when a command says that a data set follows
        self.next = self.start = self.end = 0

    @property
    def inside(self) -> bool:
        """Whether a PDU has begun and is not complete."""
        return self._pdu_left > 0

    @property
    def at_rest(self) -> bool:
        """Whether no message has begun."""
        return not (self._pdu_left or self.command or self.data_due)

    def take(self, buffer: memoryview, low: int, high: int) -> Step:
        """Take ``buffer[low:high]`` as far as one step goes; ``next`` is where it stopped.

        Raises
        ------
        Breach
            When the peer does not keep to the protocol.

        """
        self.next = self.start = self.end = low
        while True:
            if self._pdv_left:
                self._gather(buffer, high)
                if self._pdv_left:
                    return Step.MORE
            if self._last:
                self._last = False
                return Step.END if self.data_due else Step.COMMAND
            if step := self._headers(buffer, high):
                return step

    def begin_message(self) -> None:
        """The message is complete: what follows is a command."""
        self.command.clear()
        self.data_due = False

    def _gather(self, buffer: memoryview, high: int) -> None:
        """Take what is there of the PDV that has begun."""
        low = self.next
        size = min(self._pdv_left, high - low)
        if not self.data_due:
            self._more_command(buffer[low : low + size])
        else:
            end = self.end
            if self.start == end:
                self.start = end = low
            elif end != low:
                buffer[end : end + size] = buffer[low : low + size]
            self.end = end + size
        self.next = low + size
        self._pdv_left -= size
        self._pdu_left -= size

    def _headers(self, buffer: memoryview, high: int) -> Step | None:
        """Take the headers before the next PDV, or say why there is none."""
        if not self._pdu_left:
            if high - self.next < HEADER:
                return Step.MORE
            if buffer[self.next] != P_DATA_TF:
                return Step.OTHER_PDU
            self._begin_pdu(_PDU(buffer, self.next)[2])
            self.next += HEADER
        if high - self.next < HEADER:
            return Step.MORE
        self._begin_pdv(*_PDV(buffer, self.next))
        self.next += HEADER
        return None

    def _begin_pdu(self, size: int) -> None:
        if not HEADER <= size <= self._most_pdu:
            raise Breach(f"A PDU of {size} bytes; at most {self._most_pdu} are taken")
        self._pdu_left = size
        self.pdus += 1

    def _begin_pdv(self, size: int, context_id: int, control: int) -> None:
        rest = self._pdu_left - 4 - size
        if size < 2 or rest < 0 or 0 < rest < HEADER:  # noqa: PLR2004 - context and control
            raise Breach(f"A PDV of {size} bytes in a PDU with {self._pdu_left} bytes left")
        if bool(control & COMMAND) is self.data_due:
            raise Breach(
                "A command before the data set of the last one was complete"
                if self.data_due
                else "A data set without a command"
            )
        if (self.command or self.data_due) and context_id != self.context_id:
            raise Breach("One message in two presentation contexts")
        self.context_id = context_id
        self._pdu_left -= HEADER
        self._pdv_left = size - 2
        self._last = bool(control & LAST)

    def _more_command(self, part: memoryview) -> None:
        if len(self.command) + len(part) > MOST_COMMAND:
            raise Breach(f"A command set of more than {MOST_COMMAND} bytes")
        self.command += part
