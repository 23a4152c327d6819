"""Fuzzed: what is done with an object's bytes before anybody believes them."""

from __future__ import annotations

import json
import os
import warnings
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

from dicom_node.domain.dicom_file import file_head
from dicom_node.domain.elements import READ
from dicom_node.domain.header import InputRule, header_from
from dicom_node.domain.instance import InstanceHeader
from dicom_node.domain.structure import USUAL, Encoding, Limits, walk
from dicom_node.errors import CannotUnderstand
from dicom_node.scan import scan
from tests.headers import MG_FOR_PRESENTATION

SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEGLSLossless,
)
RULES = (
    InputRule(read_assessments=True),
    InputRule(limits=Limits(nesting=3, elements=60, value_bytes=900, header_bytes=1500)),
)


def structure(data: bytes) -> None:
    """Walk a data set; places lie one after the other within it.

    The first byte chooses encoding and limits.
    """
    if not data:
        return
    content = data[1:]
    syntax = SYNTAXES[data[0] % len(SYNTAXES)]
    limits = RULES[1].limits if data[0] & 0x80 else USUAL
    encoding = Encoding(syntax.is_implicit_VR, syntax.is_little_endian)
    try:
        found = walk(
            lambda offset, length: content[offset : offset + length],
            0,
            len(content),
            encoding,
            limits,
            READ,
        )
    except CannotUnderstand:
        return
    size = sum(end - begin for begin, end in found.places.values())
    assert size <= min(limits.header_bytes, len(content) * max(1, len(found.places)))
    for begin, end in found.places.values():
        assert 0 <= begin < end <= len(content)
    assert found.pixels is None or found.pixels.length <= len(content)


def spooled(data: bytes) -> None:
    """Scan a spooled file; a header that comes of it can be written down.

    The first byte chooses transfer syntax and rule.
    """
    if not data:
        return
    syntax = SYNTAXES[data[0] % len(SYNTAXES)]
    rule = RULES[data[0] >> 7]
    head = file_head(str(MG_FOR_PRESENTATION), "1.2.3", str(syntax))
    with suppress(CannotUnderstand):
        can_be_written(scan(_in_memory(head + data[1:]), str(syntax), rule))


def spool_file(data: bytes) -> None:
    """Scan a whole file, its File Meta Information too."""
    with suppress(CannotUnderstand):
        can_be_written(scan(_in_memory(data), str(ExplicitVRLittleEndian), RULES[0]))


def header(data: bytes) -> None:
    """Read a data set with pydicom alone and take the header from it, as answers of a PACS are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, on odd values
        try:
            ds = dcmread(BytesIO(data), force=True, stop_before_pixels=True)
        except Exception:  # noqa: BLE001 - pydicom's reader is not what is looked at here
            return
        with suppress(CannotUnderstand):
            can_be_written(header_from(ds, rule=RULES[0]))


def can_be_written(header: InstanceHeader) -> None:
    """Whether the ledger takes it: numbers are numbers, texts are ones that PostgreSQL knows."""
    text = json.dumps(header.to_json(), allow_nan=False, ensure_ascii=False)
    text.encode()
    assert "\\u0000" not in text, text


@cache
def _memory_file() -> int:
    return os.memfd_create("spooled")


def _in_memory(content: bytes) -> Path:
    """A file with this content that no disk sees; the same for each call."""
    number = _memory_file()
    os.ftruncate(number, 0)
    os.pwrite(number, content, 0)
    return Path(f"/proc/self/fd/{number}")
