"""Decoding of every lossless syntax."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import uid

from dicom_node.errors import PixelDecodeError
from tests.coded_images import breast_like, image
from worker.decoder import decode_apart
from worker.exam.decode import CODECS, NATIVE, decode

JPEG_FAMILY = [syntax for syntax in CODECS if syntax != uid.RLELossless]


SYNTAXES = [*NATIVE, *CODECS]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda s: s.keyword)
def test_every_lossless_syntax_gives_back_the_same_pixels(syntax):
    pixels = breast_like()
    decoded = decode(image(pixels, syntax), decode_apart)
    assert decoded.dtype == np.uint16
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda s: s.keyword)
def test_eight_bit_images_decode_in_every_syntax(syntax):
    pixels = breast_like(stored=8, dtype=np.uint8)
    ds = image(pixels, syntax, stored=8)
    if syntax in NATIVE:
        ds["PixelData"].VR = "OB"
        ds.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    np.testing.assert_array_equal(decode(ds, decode_apart), pixels)


def test_eight_bit_words_in_big_endian_are_swapped_back():
    pixels = breast_like(8, 6, stored=8, dtype=np.uint8)
    swapped = pixels.reshape(-1, 2)[:, ::-1].tobytes()
    ds = image(pixels, uid.ExplicitVRBigEndian, stored=8, PixelData=swapped)
    np.testing.assert_array_equal(decode(ds, decode_apart), pixels)


def test_negative_values_keep_their_sign():
    pixels = (breast_like().astype(np.int32) - 2048).astype(np.int16)
    cut = (pixels.view(np.uint16) & 0x0FFF).view(np.int16)  # as a sender stores 12 bits
    np.testing.assert_array_equal(
        decode(image(cut, uid.ExplicitVRLittleEndian), decode_apart), pixels
    )


def test_overlay_bits_above_the_high_bit_are_cleared():
    pixels = breast_like()
    dirty = pixels | np.uint16(0x8000)
    np.testing.assert_array_equal(
        decode(image(dirty, uid.ImplicitVRLittleEndian), decode_apart), pixels
    )


def test_values_that_sit_at_the_top_of_the_word_come_down():
    pixels = breast_like()
    ds = image((pixels << 4).astype(np.uint16), uid.ExplicitVRLittleEndian, HighBit=15)
    np.testing.assert_array_equal(decode(ds, decode_apart), pixels)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda s: s.keyword)
def test_cut_off_pixels_are_refused_with_the_next_step(syntax):
    ds = image(breast_like(), syntax)
    whole = ds.PixelData
    ds.PixelData = whole[: len(whole) // 2 // 2 * 2]
    with pytest.raises(PixelDecodeError, match=r"image 1\.2\.3: .*send it again"):
        decode(ds, decode_apart)


@pytest.mark.parametrize("syntax", [*JPEG_FAMILY], ids=lambda s: s.keyword)
def test_pixels_of_another_size_than_the_header_says_are_refused(syntax):
    ds = image(breast_like(), syntax, Rows=96)
    with pytest.raises(PixelDecodeError, match="header and pixels belong to different images"):
        decode(ds, decode_apart)


def test_a_lossy_syntax_is_refused_by_name():
    ds = image(breast_like(), uid.ExplicitVRLittleEndian)
    ds.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
    with pytest.raises(PixelDecodeError, match="JPEG Baseline"):
        decode(ds, decode_apart)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SamplesPerPixel": 3}, "only one grey frame"),
        ({"NumberOfFrames": "2"}, "only one grey frame"),
        ({"BitsStored": 17}, "impossible"),
        ({"HighBit": 3}, "impossible"),
    ],
)
def test_headers_that_cannot_be_true_are_refused(changes, words):
    with pytest.raises(PixelDecodeError, match=words):
        decode(image(breast_like(), uid.ExplicitVRLittleEndian, **changes), decode_apart)


@pytest.mark.parametrize("missing", ["PixelData", "Rows", "BitsAllocated"])
def test_missing_elements_are_named(missing):
    ds = image(breast_like(), uid.ExplicitVRLittleEndian)
    delattr(ds, missing)
    with pytest.raises(PixelDecodeError, match=r"Pixel Data|missing"):
        decode(ds, decode_apart)
