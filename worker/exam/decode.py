"""Pixel Data of every lossless transfer syntax as an array that agrees with its header."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dicom_node.errors import PixelDecodeError

Pixels = npt.NDArray[np.integer]

NATIVE = {
    ImplicitVRLittleEndian: "<",
    ExplicitVRLittleEndian: "<",
    DeflatedExplicitVRLittleEndian: "<",  # inflated by whoever read the file
    ExplicitVRBigEndian: ">",
}
JPEG_FAMILY: dict[str, Callable[[bytes], Any]] = {
    JPEGLossless: imagecodecs.jpeg_decode,
    JPEGLosslessSV1: imagecodecs.jpeg_decode,
    JPEGLSLossless: imagecodecs.jpegls_decode,
    JPEG2000Lossless: imagecodecs.jpeg2k_decode,
    HTJ2KLossless: imagecodecs.htj2k_decode,
    HTJ2KLosslessRPCL: imagecodecs.htj2k_decode,
}
END_OF_IMAGE = b"\xff\xd9"  # EOI of T.81 and T.87, EOC of T.800: the last two bytes
RLE_HEADER_BYTES = 64  # PS3.5 G.5


def decode(ds: Dataset) -> Pixels:
    """Stored values (rows, columns) of a single-frame image: ``uint8/16/32`` or ``int8/16/32``.

    Bits above High Bit (old overlays) are cleared, negative values get their sign back.

    Raises
    ------
    PixelDecodeError
        When the header lacks what decoding needs, the syntax is not a lossless one of dicom.md §5,
        the bytes are damaged, or what comes out is not what the header announces.
    """
    name = f"image {ds.get('SOPInstanceUID', 'without SOP Instance UID')}"
    shape = _shape(ds, name)
    if "PixelData" not in ds:
        raise PixelDecodeError(f"{name}: there is no Pixel Data; ask for the image itself")
    syntax = _syntax(ds, name)
    raw = (
        _native(ds, shape, NATIVE[syntax], name)
        if syntax in NATIVE
        else _compressed(ds, shape, syntax, name)
    )
    return _stored_values(ds, raw, name)


def _shape(ds: Dataset, name: str) -> tuple[int, int]:
    """Rows and columns of an image of one grey frame; anything else is refused."""
    try:
        rows, columns, allocated = int(ds.Rows), int(ds.Columns), int(ds.BitsAllocated)
        samples, frames = int(ds.get("SamplesPerPixel", 1)), int(ds.get("NumberOfFrames") or 1)
    except (AttributeError, TypeError, ValueError) as error:
        raise PixelDecodeError(
            f"{name}: Rows, Columns or Bits Allocated is missing or unreadable ({error}); "
            "the object is damaged at its source"
        ) from error
    if samples != 1 or frames != 1 or allocated not in {8, 16, 32} or min(rows, columns) < 1:
        raise PixelDecodeError(
            f"{name}: {rows} x {columns}, {samples} samples a pixel, {frames} frames, "
            f"{allocated} bits allocated; only one grey frame of 8, 16 or 32 bits is read"
        )
    return rows, columns


def _syntax(ds: Dataset, name: str) -> UID:
    """Transfer syntax of the object, if it is one that this product reads."""
    syntax = getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", None)
    if syntax is None:
        raise PixelDecodeError(f"{name}: no transfer syntax is stated; send it as a DICOM file")
    if syntax not in NATIVE and syntax not in JPEG_FAMILY and syntax != RLELossless:
        raise PixelDecodeError(
            f"{name}: transfer syntax {syntax.name} ({syntax}) is not a lossless one that is read; "
            "send the image uncompressed or losslessly compressed"
        )
    return UID(syntax)


def _native(ds: Dataset, shape: tuple[int, int], order: str, name: str) -> Pixels:
    """Uncompressed pixels; an object that is shorter than its header says is refused."""
    size = int(ds.BitsAllocated) // 8
    content = ds.PixelData
    expected = shape[0] * shape[1] * size
    if len(content) < expected:
        raise PixelDecodeError(
            f"{name}: {len(content)} bytes of Pixel Data where {expected} were announced; it is "
            "cut off, send it again"
        )
    if size == 1 and order == ">" and ds["PixelData"].VR == "OW":
        # PS3.5 A.3: OW is a stream of swapped 16-bit words even when a pixel has 8 bits.
        content = np.frombuffer(content, "u1")[: expected + expected % 2].reshape(-1, 2)[:, ::-1]
        return np.ascontiguousarray(content).ravel()[:expected].reshape(shape)
    pixels = np.frombuffer(content, f"{order}u{size}", shape[0] * shape[1]).reshape(shape)
    return pixels.astype(f"u{size}", copy=False)


def _compressed(ds: Dataset, shape: tuple[int, int], syntax: UID, name: str) -> Pixels:
    """Decompressed pixels, checked against the header's size."""
    try:
        frame = next(generate_frames(ds.PixelData, number_of_frames=1))
        if syntax == RLELossless:
            pixels = _rle(frame, shape, int(ds.BitsAllocated) // 8)
        elif not frame.rstrip(b"\0").endswith(END_OF_IMAGE):
            # libjpeg fills what is missing with grey and only warns.
            raise ValueError("the compressed image has no end")  # noqa: TRY301 - one message for all
        else:
            pixels = np.asarray(JPEG_FAMILY[syntax](frame))
    except (ValueError, RuntimeError, StopIteration, IndexError, KeyError, EOFError) as error:
        reason = str(error) or type(error).__name__
        raise PixelDecodeError(
            f"{name}: {syntax.name} cannot be decoded ({reason}); "
            "the pixels are damaged, send it again"
        ) from error
    if pixels.shape != shape or pixels.dtype.kind not in "ui":
        raise PixelDecodeError(
            f"{name}: the pixels are {pixels.shape} {pixels.dtype}, the header says {shape}; "
            "header and pixels belong to different images"
        )
    return pixels


def _rle(frame: bytes, shape: tuple[int, int], size: int) -> Pixels:
    """RLE frame (PS3.5 Annex G): one segment per byte plane, most significant byte first."""
    if len(frame) < RLE_HEADER_BYTES or int.from_bytes(frame[:4], "little") != size:
        raise ValueError("the RLE header does not fit Bits Allocated")
    flat = imagecodecs.dicomrle_decode(frame, dtype=np.dtype(f"<u{size}"))
    values = np.frombuffer(flat, f"<u{size}") if isinstance(flat, bytes) else np.asarray(flat)
    if values.size < shape[0] * shape[1]:
        raise ValueError(f"{values.size} of {shape[0] * shape[1]} pixels")
    return values.ravel()[: shape[0] * shape[1]].reshape(shape)


def _stored_values(ds: Dataset, pixels: Pixels, name: str) -> Pixels:
    """Pixels cut to Bits Stored, as signed integers where Pixel Representation says so."""
    size = int(ds.BitsAllocated) // 8
    stored = int(ds.get("BitsStored") or size * 8)
    high_bit = int(ds.get("HighBit", stored - 1))
    if not 1 <= stored <= size * 8 or not stored - 1 <= high_bit < size * 8:
        raise PixelDecodeError(
            f"{name}: {stored} bits stored with high bit {high_bit} in {size * 8} bits is "
            "impossible; the header is damaged at its source"
        )
    if pixels.dtype.kind == "i":
        return pixels
    pixels = pixels.astype(f"u{max(size, pixels.dtype.itemsize)}", copy=False)
    size = pixels.dtype.itemsize
    signed = int(ds.get("PixelRepresentation") or 0) == 1
    if not signed and high_bit == stored - 1:
        return np.asarray(pixels & np.array((1 << stored) - 1, pixels.dtype))
    # Up to the top and back: clears foreign high bits and, on signed types, repeats the sign.
    target = np.dtype(f"i{size}" if signed else f"u{size}")
    top = np.left_shift(pixels, np.array(size * 8 - 1 - high_bit, pixels.dtype)).view(target)
    return np.asarray(np.right_shift(top, np.array(size * 8 - stored, target)))
