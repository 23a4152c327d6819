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
from pydicom.sequence import Sequence

from dicom_node import scan
from dicom_node.domain import assessment, header, kind, spacing, structure, view
from dicom_node.domain.elements import READ
from dicom_node.domain.structure import Encoding, Limits, Pixels, walk
from dicom_node.errors import CannotUnderstand, Unreadable
from tests.data_sets import (
    BIG,
    EMPTY,
    EXPLICIT,
    IMPLICIT,
    ITEM,
    ITEM_END,
    LIE,
    LIMITS,
    OPEN,
    SEQUENCE_END,
    element,
    encoded,
    nested,
    refusal,
    walked,
    words,
)
from tests.headers import code, image_ds


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
        (
            element(0x00540220, b"SQ", ITEM + b"\x04\0\0\0" + bytes(4))
            + element(0x00540400, b"LO", bytes(40)),
            Unreadable.BEYOND_ITEM,
        ),
        (
            element(0x00540220, b"SQ", element(0x00100020, b"LO", b"AB") + SEQUENCE_END, OPEN),
            Unreadable.DISORDER,
        ),
        (element(0x00540220, b"SQ", SEQUENCE_END), Unreadable.DISORDER),
        (element(0x00100020, b"lo", b"AB"), Unreadable.VALUE_TOO_LONG),  # no VR: a length
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


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (element(0x00100020, b"LO", b"AB") * 60, "more than 50 elements"),
        (
            element(0x00081190, b"UT", bytes(1200)),
            "(0008,1190) is 1200 bytes long, more than 1000",
        ),
        (nested(5, is_open=True), "sequences are nested more than 4 deep"),
        (element(0x00100020, b"LO", b"AB")[:7], "an element ends behind the object"),
        (
            element(0x00540220, b"SQ", ITEM + b"\x04\0\0\0" + bytes(4))
            + element(0x00540400, b"LO", bytes(40)),
            "an element ends behind its item",
        ),
        (ITEM_END, "(FFFE,E00D) where it must not be"),
        (
            element(0x7FE00010, b"OW", bytes(8), b"\xf0\0\0\0"),
            "Pixel Data is cut off 232 bytes early",
        ),
        (element(0x7FE00010, b"OB", EMPTY, OPEN), "compressed Pixel Data is cut off"),
        (
            element(0x7FE00010, b"OB", EMPTY + ITEM + b"\x04\0\0\0ABCD", OPEN),
            "compressed Pixel Data is cut off",
        ),
        (
            element(0x7FE00010, b"OB", EMPTY + ITEM + b"\x80\0\0\0ABCD", OPEN),
            "compressed Pixel Data is cut off or damaged",
        ),
        (
            element(0x7FE00010, b"OB", EMPTY + bytes(16), OPEN),
            "compressed Pixel Data is cut off or damaged",
        ),
    ],
)  # fmt: skip
def test_a_refusal_says_what_is_wrong(content: bytes, text: str) -> None:
    assert words(content) == text


def test_what_is_just_within_a_limit_is_let_in() -> None:
    fifty = element(0x00100020, b"LO", b"AB") * 50
    walked(fifty, limits=LIMITS)
    longest = element(0x00081190, b"UT", bytes(LIMITS.value_bytes))
    walked(longest, limits=LIMITS)
    patient = element(0x00100020, b"LO", b"AB")
    walked(patient, limits=Limits(header_bytes=len(patient)))
    less = Limits(header_bytes=len(patient) - 1)
    assert refusal(patient, limits=less) is Unreadable.HEADER_TOO_LARGE
    assert words(patient, limits=less) == "the header holds 10 bytes, more than 9"


def test_an_object_shorter_than_it_was_said_to_be_is_cut_off() -> None:
    content = element(0x00100020, b"LO", b"AB")[:5]

    def read(offset: int, length: int) -> bytes:
        return content[offset : offset + length]

    with pytest.raises(CannotUnderstand, match=r"^the object is cut off$") as refused:
        walk(read, 0, 100, EXPLICIT, LIMITS, READ)
    assert Unreadable(refused.value.dimse_status) is Unreadable.CUT_OFF


LETTERS = struct.pack("<HHL", 0x0010, 0x0020, int.from_bytes(b"LO\0\0", "little"))
AMONG_LETTERS = LETTERS + bytes(int.from_bytes(b"LO", "little"))  # its length reads like a VR
SERIES = element(0x0020000E, b"UI", b"AB")


def test_a_length_that_reads_like_a_vr_is_still_a_length() -> None:
    item = ITEM + struct.pack("<L", len(AMONG_LETTERS)) + AMONG_LETTERS
    sequence = struct.pack("<HHL", 0x0054, 0x0220, len(item)) + item
    assert walked(AMONG_LETTERS, IMPLICIT).places == {0x00100020: (0, len(AMONG_LETTERS))}
    assert walked(sequence, IMPLICIT).places == {0x00540220: (0, len(sequence))}
    unknown = element(0x00091001, b"UN", item + SEQUENCE_END, OPEN)
    assert set(walked(unknown + SERIES).places) == {0x0020000E}


def test_an_implicit_element_amid_explicit_ones_is_found() -> None:
    content = struct.pack("<HHL", 0x0010, 0x0020, 2) + b"AB"
    assert walked(content + SERIES).places == {0x00100020: (0, 10), 0x0020000E: (10, 20)}


def test_a_sequence_is_walked_if_its_tag_is_all_that_says_so_and_no_vr_denies_it() -> None:
    implicit = struct.pack("<HHL", 0x0054, 0x0220, 12) + bytes(12)
    assert refusal(implicit, IMPLICIT) is Unreadable.DISORDER
    assert walked(element(0x00540220, b"LO", bytes(12))).places == {0x00540220: (0, 20)}


def test_an_icons_pixels_are_passed_over() -> None:
    icon = element(0x7FE00010, b"OB", EMPTY + EMPTY + SEQUENCE_END, OPEN)
    item = ITEM + struct.pack("<L", len(icon)) + icon
    found = walked(element(0x00880200, b"SQ", item) + SERIES)
    assert set(found.places) == {0x0020000E}
    assert found.pixels is None


def test_an_element_as_short_as_can_be_is_found_behind_the_pixels() -> None:
    pixels = element(0x7FE00010, b"OW", bytes(8))
    found = walked(pixels + element(0x00100020, b"LO", b""))
    assert found.places == {0x00100020: (len(pixels), len(pixels) + 8)}


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
    for none in (b"", EMPTY):
        content = element(0x7FE00010, b"OB", none + SEQUENCE_END, OPEN)
        assert walked(content).pixels == Pixels(0, 0)


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
