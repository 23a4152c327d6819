"""Files opened for the analysis."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmwrite, uid

from dicom_node.errors import PixelDecodeError
from tests.coded_images import breast_like, image
from worker.decoder import decode_apart
from worker.exam.decode import NATIVE, decode
from worker.reading import opened

IN_PLACE = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian)


MG = uid.DigitalMammographyXRayImageStorageForPresentation


def file_in(syntax, pixels, *, without=()):
    ds = image(pixels, syntax, SOPClassUID=MG)
    if syntax not in NATIVE:
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    for keyword in without:
        delattr(ds, keyword)
    stream = BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()


@pytest.mark.parametrize("syntax", [*NATIVE, uid.JPEGLSLossless], ids=lambda s: s.keyword)
def test_a_file_gives_its_pixels(syntax):
    pixels = breast_like()
    ds = opened(file_in(syntax, pixels))
    np.testing.assert_array_equal(decode(ds, decode_apart), pixels)


@pytest.mark.parametrize("syntax", IN_PLACE, ids=lambda s: s.keyword)
def test_uncompressed_pixels_are_not_copied(syntax):
    content = file_in(syntax, breast_like())
    found = decode(opened(content), pytest.fail)
    assert np.shares_memory(found, np.frombuffer(content, np.uint8))


@pytest.mark.parametrize("syntax", IN_PLACE, ids=lambda s: s.keyword)
def test_a_file_that_is_cut_off_is_refused_as_such(syntax):
    content = file_in(syntax, breast_like())
    with pytest.raises(PixelDecodeError, match="cut off"):
        decode(opened(content[:-100]), pytest.fail)


def test_a_file_without_pixels_is_refused_as_such():
    content = file_in(uid.ExplicitVRLittleEndian, breast_like(), without=["PixelData"])
    with pytest.raises(PixelDecodeError, match="no Pixel Data"):
        decode(opened(content), pytest.fail)
