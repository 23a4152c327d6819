"""Data sets written byte for byte, whatever they claim, and what walking them gives."""

from __future__ import annotations

import struct

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicom_node.domain.elements import READ
from dicom_node.domain.structure import USUAL, Encoding, Limits, Structure, walk
from dicom_node.errors import CannotUnderstand, Unreadable

EXPLICIT = Encoding(implicit=False, little_endian=True)
IMPLICIT = Encoding(implicit=True, little_endian=True)
BIG = Encoding(implicit=False, little_endian=False)
LIMITS = Limits(nesting=4, elements=50, value_bytes=1000, header_bytes=3000)
ITEM, ITEM_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0" + bytes(4)
SEQUENCE_END = b"\xfe\xff\xdd\xe0" + bytes(4)
OPEN = b"\xff\xff\xff\xff"
EMPTY = ITEM + bytes(4)


def walked(content: bytes, encoding: Encoding = EXPLICIT, limits: Limits = USUAL) -> Structure:
    """Where the elements lie that the node reads."""

    def read(offset: int, length: int) -> bytes:
        return content[offset : offset + length]

    return walk(read, 0, len(content), encoding, limits, READ)


def refused(content: bytes, encoding: Encoding, limits: Limits) -> CannotUnderstand:
    with pytest.raises(CannotUnderstand) as caught:
        walked(content, encoding, limits)
    return caught.value


def refusal(content: bytes, encoding: Encoding = EXPLICIT, limits: Limits = LIMITS) -> Unreadable:
    """Which of the reasons a data set is refused for."""
    return Unreadable(refused(content, encoding, limits).dimse_status)


def words(content: bytes, encoding: Encoding = EXPLICIT, limits: Limits = LIMITS) -> str:
    """What is said of a data set that is refused."""
    return str(refused(content, encoding, limits))


def encoded(ds: Dataset, encoding: Encoding = EXPLICIT) -> bytes:
    """A data set as the library writes it."""
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = encoding
    write_dataset(stream, ds)
    return bytes(stream.getvalue())


def element(tag: int, vr: bytes, value: bytes, length: bytes | None = None) -> bytes:
    """One element in Explicit VR Little Endian, whatever it claims."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    if vr in {b"SQ", b"OB", b"OW", b"UN", b"UT"}:
        return head + bytes(2) + (length or struct.pack("<L", len(value))) + value
    return head + (length or struct.pack("<H", len(value))) + value


LIE = element(0x54, b"LO", b"AB", b"\x20\0")


def nested(depth: int, *, is_open: bool) -> bytes:
    """Sequences within sequences."""
    content = b""
    for _ in range(depth):
        if is_open:
            item = ITEM + OPEN + content + ITEM_END + SEQUENCE_END
            content = element(0x00540220, b"SQ", item, OPEN)
        else:
            content = element(0x00540220, b"SQ", ITEM + struct.pack("<L", len(content)) + content)
    return content
