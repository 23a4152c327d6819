"""Decoding of every lossless syntax."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames

from dicom_node.errors import PixelDecodeError
from worker.exam.decode import JPEG_FAMILY, NATIVE, decode


def image(pixels, syntax, *, stored=12, **changes):
    """A data set around ``pixels`` in ``syntax``; signed if the pixels are."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SOPInstanceUID = "1.2.3"
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel = 1
    ds.BitsAllocated = pixels.dtype.itemsize * 8
    ds.BitsStored, ds.HighBit = stored, stored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelData = content(pixels, syntax, stored)
    ds["PixelData"].VR = "OW"
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def content(pixels, syntax, stored):
    if syntax in NATIVE:
        return pixels.astype(pixels.dtype.newbyteorder(NATIVE[syntax])).tobytes()
    if syntax == uid.RLELossless:
        return encapsulate([rle(pixels)])
    if syntax in {uid.JPEGLossless, uid.JPEGLosslessSV1}:
        return encapsulate([imagecodecs.jpeg_encode(pixels, lossless=True, bitspersample=stored)])
    if syntax == uid.JPEGLSLossless:
        return encapsulate([imagecodecs.jpegls_encode(pixels)])
    if syntax == uid.JPEG2000Lossless:
        return encapsulate([imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", level=0)])
    return encapsulate([imagecodecs.htj2k_encode(pixels)])


def rle(pixels):
    ds = image(pixels, uid.ExplicitVRLittleEndian, stored=pixels.dtype.itemsize * 8)
    ds.compress(uid.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    return next(generate_frames(ds.PixelData, number_of_frames=1))


def breast_like(rows=97, columns=61, stored=12, dtype=np.uint16):
    rng = np.random.default_rng(4)
    smooth = np.add.outer(np.arange(rows) * 11, np.arange(columns) * 7)
    return ((smooth + rng.integers(0, 40, (rows, columns))) % (1 << stored)).astype(dtype)


SYNTAXES = [*NATIVE, *JPEG_FAMILY, uid.RLELossless]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda s: s.keyword)
def test_every_lossless_syntax_gives_back_the_same_pixels(syntax):
    pixels = breast_like()
    decoded = decode(image(pixels, syntax))
    assert decoded.dtype == np.uint16
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda s: s.keyword)
def test_eight_bit_images_decode_in_every_syntax(syntax):
    pixels = breast_like(stored=8, dtype=np.uint8)
    ds = image(pixels, syntax, stored=8)
    if syntax in NATIVE:
        ds["PixelData"].VR = "OB"
        ds.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    np.testing.assert_array_equal(decode(ds), pixels)


def test_eight_bit_words_in_big_endian_are_swapped_back():
    pixels = breast_like(8, 6, stored=8, dtype=np.uint8)
    swapped = pixels.reshape(-1, 2)[:, ::-1].tobytes()
    ds = image(pixels, uid.ExplicitVRBigEndian, stored=8, PixelData=swapped)
    np.testing.assert_array_equal(decode(ds), pixels)


def test_negative_values_keep_their_sign():
    pixels = (breast_like().astype(np.int32) - 2048).astype(np.int16)
    cut = (pixels.view(np.uint16) & 0x0FFF).view(np.int16)  # as a sender stores 12 bits
    np.testing.assert_array_equal(decode(image(cut, uid.ExplicitVRLittleEndian)), pixels)


def test_overlay_bits_above_the_high_bit_are_cleared():
    pixels = breast_like()
    dirty = pixels | np.uint16(0x8000)
    np.testing.assert_array_equal(decode(image(dirty, uid.ImplicitVRLittleEndian)), pixels)


def test_values_that_sit_at_the_top_of_the_word_come_down():
    pixels = breast_like()
    ds = image((pixels << 4).astype(np.uint16), uid.ExplicitVRLittleEndian, HighBit=15)
    np.testing.assert_array_equal(decode(ds), pixels)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda s: s.keyword)
def test_cut_off_pixels_are_refused_with_the_next_step(syntax):
    ds = image(breast_like(), syntax)
    whole = ds.PixelData
    ds.PixelData = whole[: len(whole) // 2 // 2 * 2]
    with pytest.raises(PixelDecodeError, match=r"image 1\.2\.3: .*send it again"):
        decode(ds)


@pytest.mark.parametrize("syntax", [*JPEG_FAMILY], ids=lambda s: s.keyword)
def test_pixels_of_another_size_than_the_header_says_are_refused(syntax):
    ds = image(breast_like(), syntax, Rows=96)
    with pytest.raises(PixelDecodeError, match="header and pixels belong to different images"):
        decode(ds)


def test_a_lossy_syntax_is_refused_by_name():
    ds = image(breast_like(), uid.ExplicitVRLittleEndian)
    ds.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
    with pytest.raises(PixelDecodeError, match="JPEG Baseline"):
        decode(ds)


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
        decode(image(breast_like(), uid.ExplicitVRLittleEndian, **changes))


@pytest.mark.parametrize("missing", ["PixelData", "Rows", "BitsAllocated"])
def test_missing_elements_are_named(missing):
    ds = image(breast_like(), uid.ExplicitVRLittleEndian)
    delattr(ds, missing)
    with pytest.raises(PixelDecodeError, match=r"Pixel Data|missing"):
        decode(ds)
