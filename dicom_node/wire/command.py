"""The DIMSE command sets of C-STORE, read and written without a data set library (PS3.7 9.3.1)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from dicom_node.wire.pdata import COMMAND, LAST, Breach, headers

C_STORE_RQ = 0x0001  # PS3.7 E.1-1
C_STORE_RSP = 0x8001
C_ECHO_RQ = 0x0030
NO_DATA_SET, A_DATA_SET = 0x0101, 0x0001
MEDIUM = 0x0000
_ELEMENT = struct.Struct("<HHI")
_US = struct.Struct("<H")
_CLASS, _FIELD, _MESSAGE_ID, _RESPONDED_TO = 0x0002, 0x0100, 0x0110, 0x0120
_PRIORITY, _DATA_SET_TYPE, _STATUS = 0x0700, 0x0800, 0x0900
_COMMENT, _INSTANCE = 0x0902, 0x1000
_UID = re.compile(rb"[0-9.]{1,64}")
_COMMENT_LENGTH = 64  # LO


@dataclass(frozen=True, kw_only=True)
class Command:
    """What of a request decides what is done with it; a UID that is none is empty."""

    field: int
    message_id: int
    has_data: bool
    sop_class_uid: str
    sop_instance_uid: str

    @property
    def is_store(self) -> bool:
        """Whether it is a C-STORE-RQ."""
        return self.field == C_STORE_RQ


def parse(content: bytes | bytearray) -> Command:
    """Read a command set (Implicit VR Little Endian, group 0000 only).

    Raises
    ------
    Breach
        When the bytes are no command set, or one without field or Message ID.

    """
    elements: dict[int, bytes] = {}
    at = 0
    while at < len(content):
        if at + _ELEMENT.size > len(content):
            raise Breach("A command set that is cut off")
        group, element, size = _ELEMENT.unpack_from(content, at)
        at += _ELEMENT.size
        if group or size > len(content) - at:
            raise Breach("A command set that is damaged")
        elements[element] = bytes(content[at : at + size])
        at += size
    field = _number(elements, _FIELD)
    return Command(
        field=field,
        # A response or a C-CANCEL names the request's, and has none of its own.
        message_id=_number(elements, _MESSAGE_ID) if field == C_STORE_RQ else 0,
        has_data=_number(elements, _DATA_SET_TYPE) != NO_DATA_SET,
        sop_class_uid=_uid(elements, _CLASS),
        sop_instance_uid=_uid(elements, _INSTANCE),
    )


def response(command: Command, status: int, comment: str = "") -> bytes:
    """The command set of a C-STORE-RSP."""
    return _command_set(
        _text(_CLASS, command.sop_class_uid, b"\0"),
        _short(_FIELD, C_STORE_RSP),
        _short(_RESPONDED_TO, command.message_id),
        _short(_DATA_SET_TYPE, NO_DATA_SET),
        _short(_STATUS, status),
        _text(_COMMENT, comment[:_COMMENT_LENGTH], b" "),
        _text(_INSTANCE, command.sop_instance_uid, b"\0"),
    )


def request(message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """The command set of a C-STORE-RQ at medium priority (PS3.7 Table 9.3-1)."""
    return _command_set(
        _text(_CLASS, sop_class_uid, b"\0"),
        _short(_FIELD, C_STORE_RQ),
        _short(_MESSAGE_ID, message_id),
        _short(_PRIORITY, MEDIUM),
        _short(_DATA_SET_TYPE, A_DATA_SET),
        _text(_INSTANCE, sop_instance_uid, b"\0"),
    )


def pdu(context_id: int, command_set: bytes) -> bytes:
    """A command set as one P-DATA-TF PDU (PS3.8 9.3.5); those of C-STORE are below 300 bytes."""
    return headers(context_id, COMMAND | LAST, len(command_set)) + command_set


def _number(elements: dict[int, bytes], element: int) -> int:
    value = elements.get(element, b"")
    if len(value) != _US.size:
        raise Breach(f"A command set without (0000,{element:04X})")
    return int(_US.unpack(value)[0])


def _uid(elements: dict[int, bytes], element: int) -> str:
    value = elements.get(element, b"").rstrip(b"\0 ")
    return value.decode("ascii") if _UID.fullmatch(value) else ""


def _command_set(*elements: bytes) -> bytes:
    content = b"".join(elements)
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(content)) + content


def _short(element: int, value: int) -> bytes:
    return _ELEMENT.pack(0, element, _US.size) + _US.pack(value)


def _text(element: int, text: str, padding: bytes) -> bytes:
    value = text.encode("ascii", "replace")
    value += padding * (len(value) % 2)
    return _ELEMENT.pack(0, element, len(value)) + value if value else b""
