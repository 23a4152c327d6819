"""A data set's structure: what lies where, and everything that is refused before it is decoded."""

from __future__ import annotations

import ast
import inspect
import struct
from contextlib import suppress
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from dicom_node import scan
from dicom_node.domain import assessment, header, kind, spacing, structure, view
from dicom_node.domain.elements import READ
from dicom_node.domain.structure import USUAL, Encoding, Limits, Pixels, Structure, walk
from dicom_node.errors import CannotUnderstand, Unreadable
from tests.headers import code, image_ds

EXPLICIT = Encoding(implicit=False, little_endian=True)
IMPLICIT = Encoding(implicit=True, little_endian=True)
BIG = Encoding(implicit=False, little_endian=False)
LIMITS = Limits(nesting=4, elements=50, value_bytes=1000, header_bytes=3000)
ITEM, ITEM_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0" + bytes(4)
SEQUENCE_END = b"\xfe\xff\xdd\xe0" + bytes(4)
OPEN = b"\xff\xff\xff\xff"
EMPTY = ITEM + bytes(4)


def walked(content: bytes, encoding: Encoding = EXPLICIT, limits: Limits = USUAL) -> Structure:
    def read(offset: int, length: int) -> bytes:
        return content[offset : offset + length]

    return walk(read, 0, len(content), encoding, limits, READ)


def refusal(content: bytes, encoding: Encoding = EXPLICIT, limits: Limits = LIMITS) -> Unreadable:
    with pytest.raises(CannotUnderstand) as refused:
        walked(content, encoding, limits)
    return Unreadable(refused.value.dimse_status)


def encoded(ds: Dataset, encoding: Encoding = EXPLICIT) -> bytes:
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


@pytest.mark.parametrize("encoding", [EXPLICIT, IMPLICIT, BIG])
@pytest.mark.parametrize("is_open", [False, True])
def test_every_element_is_found_where_it_lies(encoding: Encoding, is_open: bool) -> None:  # noqa: FBT001
    ds = image_ds()
    ds.ViewCodeSequence = Sequence([code("399162004"), code("399368009")])
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence([code("399055006")])
    for sequence in (ds["ViewCodeSequence"], ds.ViewCodeSequence[0]["ViewModifierCodeSequence"]):
        sequence.is_undefined_length = is_open
        for item in sequence.value:
            item.is_undefined_length_sequence_item = is_open
    ds.add_new(0x7FE00010, "OW", bytes(64))
    content = encoded(ds, encoding)
    found = walked(content, encoding)
    assert found.pixels == Pixels(64)
    expected = {int(tag) for tag in ds.keys()} & READ  # noqa: SIM118 - tags without decoding
    assert set(found.places) == expected
    for tag, (begin, end) in found.places.items():
        alone = Dataset()
        alone.add(ds[tag])
        assert content[begin:end] == encoded(alone, encoding)


@pytest.mark.parametrize("is_open", [False, True])
def test_nesting_is_counted_without_recursion(is_open: bool) -> None:  # noqa: FBT001
    limits = Limits(nesting=4)
    walked(nested(4, is_open=is_open), limits=limits)
    assert refusal(nested(5, is_open=is_open), limits=limits) is Unreadable.TOO_DEEP
    deep = nested(2000, is_open=is_open)
    assert refusal(deep, limits=limits) is Unreadable.TOO_DEEP


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (element(0x00100020, b"LO", b"AB") * 60, Unreadable.TOO_MANY_ELEMENTS),
        (element(0x00081190, b"UT", bytes(1200)), Unreadable.VALUE_TOO_LONG),
        (element(0x00100020, b"LO", bytes(900)) + element(0x00081030, b"LO", b""), None),
        (element(0x00100020, b"LO", b"AB", b"\x04\x00"), Unreadable.CUT_OFF),
        (element(0x00100020, b"LO", b"AB")[:7], Unreadable.CUT_OFF),
        (element(0x00081190, b"UT", b"", b"\xf0\xff\xff\xff"), Unreadable.VALUE_TOO_LONG),
        (element(0x00540220, b"SQ", EMPTY, b"\xf0\x00\x00\x00"), Unreadable.CUT_OFF),
        (element(0x00540220, b"SQ", ITEM + b"\x10\0\0\0" + bytes(4)), Unreadable.CUT_OFF),
        (
            element(0x00540220, b"SQ", ITEM + b"\x10\0\0\0" + bytes(4))
            + element(0x00540400, b"LO", bytes(40)),
            Unreadable.BEYOND_ITEM,
        ),
        (
            element(0x00540220, b"SQ", ITEM + b"\x0a\0\0\0" + LIE)
            + element(0x00540400, b"LO", bytes(40)),
            Unreadable.BEYOND_ITEM,
        ),
        (element(0x00540220, b"SQ", EMPTY, OPEN), Unreadable.CUT_OFF),
        (element(0x00540220, b"SQ", element(0x00100020, b"LO", b"AB")), Unreadable.DISORDER),
        (ITEM_END, Unreadable.DISORDER),
        (SEQUENCE_END, Unreadable.DISORDER),
        (element(0x00020010, b"UI", b"1.2.3\0"), Unreadable.DISORDER),
        (element(0x7FE00010, b"OW", bytes(8), b"\xf0\xff\xff\xff"), Unreadable.CUT_OFF),
        (element(0x7FE00010, b"OB", EMPTY, OPEN), Unreadable.FRAGMENTS),
        (element(0x7FE00010, b"OB", EMPTY + ITEM + b"\x80\0\0\0", OPEN), Unreadable.FRAGMENTS),
        (element(0x7FE00010, b"OB", EMPTY + bytes(16), OPEN), Unreadable.FRAGMENTS),
    ],
)  # fmt: skip
def test_each_lie_has_its_own_answer(content: bytes, why: Unreadable | None) -> None:
    if why is None:
        walked(content, limits=LIMITS)
    else:
        assert refusal(content) is why


def test_only_what_is_decoded_counts_for_the_size_of_the_header() -> None:
    read = b"".join(element(tag, b"LO", bytes(900)) for tag in (0x00080060, 0x00100020, 0x00180060))
    walked(read, limits=LIMITS)
    more = read + element(0x0020000E, b"UI", bytes(900))
    assert refusal(more) is Unreadable.HEADER_TOO_LARGE
    walked(read + element(0x00081030, b"LO", bytes(900)) * 3, limits=LIMITS)


def test_fragments_are_counted_without_the_offset_table() -> None:
    fragment = ITEM + b"\x04\0\0\0" + b"ABCD"
    content = element(0x7FE00010, b"OB", EMPTY + fragment * 3 + SEQUENCE_END, OPEN)
    assert walked(content).pixels == Pixels(0, 3)
    assert walked(content + b"\0").pixels == Pixels(0, 3)


@pytest.mark.parametrize("block", [8, 9, 12, 13, 31])
def test_it_does_not_matter_where_a_block_ends(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fragment = ITEM + b"\x04\0\0\0" + b"ABCD"
    pixels = element(0x7FE00010, b"OB", EMPTY + fragment * 3 + SEQUENCE_END, OPEN)
    ds = image_ds()
    ds.add_new(0x00091001, "UN", bytes(50))
    content = encoded(ds) + nested(3, is_open=True) + nested(3, is_open=False) + pixels
    expected = walked(content)
    monkeypatch.setattr(structure, "BLOCK", block)
    assert walked(content) == expected


def test_an_unknown_sequence_is_written_implicitly() -> None:
    inside = ITEM + OPEN + b"\x10\x00\x20\x00\x02\x00\x00\x00AB" + ITEM_END + SEQUENCE_END
    patient = element(0x00100020, b"LO", b"AB")
    content = element(0x00091001, b"UN", inside, OPEN) + patient
    assert walked(content).places == {0x00100020: (len(content) - len(patient), len(content))}


@given(st.binary(max_size=300), st.sampled_from([EXPLICIT, IMPLICIT, BIG]))
def test_whatever_the_bytes_are_there_is_an_answer(content: bytes, encoding: Encoding) -> None:
    with suppress(CannotUnderstand):
        walked(content, encoding, LIMITS)


@given(st.data())
def test_a_damaged_header_has_an_answer_too(data: st.DataObject) -> None:
    content = bytearray(encoded(image_ds()))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(CannotUnderstand):
        walked(bytes(content), EXPLICIT, LIMITS)


def _keywords(module: ModuleType) -> set[str]:
    """Every string in a module that is the keyword of an element."""
    tree = ast.parse(inspect.getsource(module))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    return {text for text in texts if isinstance(text, str) and text and tag_for_keyword(text)}


def test_every_element_that_a_header_is_read_for_is_decoded() -> None:
    modules = (assessment, header, kind, scan, spacing, view)
    asked = set().union(*map(_keywords, modules))
    decoded = {keyword_for_tag(tag) for tag in READ} - {"", "SpecificCharacterSet"}
    within_sequences = {
        "AnatomicRegionModifierSequence", "CodeValue", "CodingSchemeDesignator",
        "ConceptCodeSequence", "ConceptNameCodeSequence", "ReferencedSOPInstanceUID",
        "ViewModifierCodeSequence",
    }  # fmt: skip
    assert asked - within_sequences == decoded
