"""A spooled file read within its limits: an answer of its own for each thing that is wrong."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

from dicom_node.domain.header import InputRule, header_from
from dicom_node.domain.structure import Limits
from dicom_node.errors import CannotUnderstand, Unreadable
from dicom_node.scan import scan
from tests.headers import dataset_of, image_ds

NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
RULE = InputRule()
PIXELS = bytes(8 * 6 * 2)


def image(**values: Any) -> Dataset:
    """A mammogram of 8 x 6 pixels."""
    ds = image_ds(Rows=8, Columns=6, BitsAllocated=16, HighBit=11, PixelRepresentation=0, **values)
    ds.add_new("PixelData", "OW", PIXELS)
    return ds


def spooled(folder: Path, ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    """The data set as the receiver leaves it in the spool."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    stream = BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    part = folder / "one.part"
    part.write_bytes(stream.getvalue())
    return part


def refusal(part: Path, syntax: str = ExplicitVRLittleEndian, rule: InputRule = RULE) -> Unreadable:
    with pytest.raises(CannotUnderstand) as refused:
        scan(part, syntax, rule)
    return Unreadable(refused.value.dimse_status)


@pytest.mark.parametrize("syntax", NATIVE)
def test_the_header_is_the_one_that_the_whole_data_set_gives(tmp_path: Path, syntax: str) -> None:
    ds = image(
        SpecificCharacterSet="ISO_IR 100",
        AccessionNumber="Ü-1",
        SourceImageSequence=[dataset_of(ReferencedSOPInstanceUID="1.2.9")],
    )
    ds.private_block(0x0045, "GEMS_SENO_02", create=True).add_new(0x1B, "LO", "RCC")
    ds.private_block(0x0099, "VENDOR", create=True).add_new(0x01, "LT", "x" * 4000)
    part = spooled(tmp_path, ds, syntax)
    assert scan(part, syntax, RULE) == header_from(ds, transfer_syntax_uid=syntax)


def test_a_private_view_is_read(tmp_path: Path) -> None:
    ds = image(ViewCodeSequence=None)
    ds.private_block(0x0045, "GEMS_SENO_02", create=True).add_new(0x1B, "LO", "LMLO")
    for syntax in NATIVE:
        assert scan(spooled(tmp_path, ds, syntax), syntax, RULE).view == "MLO"


@pytest.mark.parametrize(
    ("length", "taken"),
    [(len(PIXELS), True), (len(PIXELS) + 2, True), (len(PIXELS) - 2, False), (1 << 10, False)],
)
def test_pixels_are_as_long_as_the_header_says(tmp_path: Path, length: int, *, taken: bool) -> None:
    ds = image()
    ds.PixelData = bytes(length)
    part = spooled(tmp_path, ds)
    if taken:
        assert scan(part, ExplicitVRLittleEndian, RULE).rows == 8
    else:
        assert refusal(part) is Unreadable.PIXEL_LENGTH


def test_an_image_has_pixels_and_anything_else_need_not(tmp_path: Path) -> None:
    ds = image()
    del ds.PixelData
    assert refusal(spooled(tmp_path, ds)) is Unreadable.NO_PIXEL_DATA
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    ds.Modality = "SR"
    assert scan(spooled(tmp_path, ds), ExplicitVRLittleEndian, RULE).modality == "SR"


def test_compressed_pixels_are_walked_to_their_end(tmp_path: Path) -> None:
    ds = image()
    ds.PixelData = encapsulate([b"AB" * 50, b"CD" * 50])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    part = spooled(tmp_path, ds, JPEGLSLossless)
    assert scan(part, JPEGLSLossless, RULE).rows == 8
    assert refusal(part) is Unreadable.FRAGMENTS  # the same, said to be uncompressed
    part.write_bytes(part.read_bytes()[:-20])
    assert refusal(part, JPEGLSLossless) is Unreadable.FRAGMENTS
    ds.NumberOfFrames = 3
    assert refusal(spooled(tmp_path, ds, JPEGLSLossless), JPEGLSLossless) is Unreadable.FRAGMENTS
    ds = image()
    assert refusal(spooled(tmp_path, ds), JPEGLSLossless) is Unreadable.FRAGMENTS


def test_limits_are_the_sites(tmp_path: Path) -> None:
    part = spooled(tmp_path, image())
    few = InputRule(limits=Limits(elements=5))
    assert refusal(part, rule=few) is Unreadable.TOO_MANY_ELEMENTS
    short = InputRule(limits=Limits(value_bytes=4))
    assert refusal(part, rule=short) is Unreadable.VALUE_TOO_LONG


def test_an_object_without_its_uids_says_so(tmp_path: Path) -> None:
    ds = image(StudyInstanceUID=None)
    assert refusal(spooled(tmp_path, ds)) is Unreadable.NO_UID


def test_a_spool_file_without_meta_information_is_refused(tmp_path: Path) -> None:
    part = spooled(tmp_path, image())
    content = part.read_bytes()
    part.write_bytes(content[128:])
    assert refusal(part) is Unreadable.DATA_SET
