"""Elements read by the short way have the values that pydicom gives them."""

from __future__ import annotations

import struct
import warnings
from io import BytesIO

from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.filereader import read_dataset

from dicom_node.domain.elements import Elements

KEYWORDS = ("ImageType", "StudyInstanceUID", "PatientID", "AccessionNumber", "Modality", "Rows")
# What the short way must tell apart, more often than chance would bring it.
SPECIAL = st.sampled_from([b" ", b"\0", b"\\", b"\x1b$B", b"\xe9", b"\t", b"\n", b"1.2", b"A"])
VALUES = st.lists(SPECIAL | st.binary(max_size=3), max_size=5).map(b"".join)


def encoded(keyword: str, value: bytes, *, implicit: bool, little: bool) -> bytes:
    """One element, after a character set that is not ASCII."""
    order = "<" if little else ">"
    parts = []
    for name, content in (("SpecificCharacterSet", b"ISO_IR 100"), (keyword, value)):
        tag = tag_for_keyword(name)
        assert tag is not None
        head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
        if implicit:
            head += struct.pack(f"{order}L", len(content))
        else:
            head += dictionary_VR(tag).encode() + struct.pack(f"{order}H", len(content))
        parts.append(head + content)
    return b"".join(parts)


@settings(max_examples=500)
@given(
    st.sampled_from(KEYWORDS),
    VALUES,
    st.sampled_from([(True, True), (False, True), (False, False)]),
)
def test_a_value_is_what_pydicom_makes_of_it(
    keyword: str, value: bytes, encoding: tuple[bool, bool]
) -> None:
    implicit, little = encoding
    content = encoded(keyword, value, implicit=implicit, little=little)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        short = Elements(read_dataset(BytesIO(content), implicit, little))
        long = read_dataset(BytesIO(content), implicit, little)
        assert outcome(lambda: short.get(keyword)) == outcome(lambda: long.get(keyword))


def outcome(read: object) -> object:
    """The value, or the class of what reading it raises."""
    assert callable(read)
    before = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.IGNORE
    try:
        value = read()
    except Exception as error:  # noqa: BLE001 - both must fail alike
        return type(error)
    finally:
        config.settings.reading_validation_mode = before
    return list(value) if isinstance(value, list) or hasattr(value, "append") else value
