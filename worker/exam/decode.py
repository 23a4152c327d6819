"""Pixel Data of every lossless transfer syntax as an array that agrees with its header."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
CODECS = {  # names of worker.codecs
    JPEGLossless: "jpeg",
    JPEGLosslessSV1: "jpeg",
    JPEGLSLossless: "jpegls",
    JPEG2000Lossless: "jpeg2k",
    HTJ2KLossless: "htj2k",
    HTJ2KLosslessRPCL: "htj2k",
    RLELossless: "rle",
}
SIZE_MARKER = b"\xff\x4f\xff\x51"  # SOC and SIZ of T.800 A.5.1: every code stream begins so
END_OF_IMAGE = b"\xff\xd9"  # EOI of T.81 and T.87, EOC of T.800: the last two bytes
PADDED = 16  # bytes at the end of a frame, among them its end and what makes its length even
MOST_PIXELS = 1 << 26  # four times the largest mammogram: no header may ask for all memory


@dataclass(frozen=True)
class Compressed:
    """One compressed frame, and what its header says that it holds."""

    codec: str
    frame: bytes
    shape: tuple[int, int]
    pixel_bytes: int
    signed: bool


class Damaged(Exception):  # noqa: N818 - a finding about a stream
    """A compressed frame that gives no pixels; ``misfit``: it gives those of another image."""

    def __init__(self, reason: str, *, misfit: bool = False) -> None:
        super().__init__(reason)
        self.misfit = misfit


Decompress = Callable[[Compressed], Pixels]


def decode(ds: Dataset, decompress: Decompress) -> Pixels:
    """Stored values (rows, columns) of a single-frame image: ``uint8/16/32`` or ``int8/16/32``.

    Bits above High Bit (old overlays) are cleared, negative values get their sign back.
    ``decompress`` is asked for what is not stored as it is, and raises ``Damaged``.

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
        else _compressed(ds, shape, syntax, name, decompress)
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
    if rows * columns > MOST_PIXELS:
        raise PixelDecodeError(
            f"{name}: {rows} x {columns} pixels; no mammogram is larger than {MOST_PIXELS}, "
            "the header is damaged at its source"
        )
    return rows, columns


def _syntax(ds: Dataset, name: str) -> UID:
    """Transfer syntax of the object, if it is one that this product reads."""
    syntax = getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", None)
    if syntax is None:
        raise PixelDecodeError(f"{name}: no transfer syntax is stated; send it as a DICOM file")
    if syntax not in NATIVE and syntax not in CODECS:
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


def _compressed(
    ds: Dataset, shape: tuple[int, int], syntax: UID, name: str, decompress: Decompress
) -> Pixels:
    """Decompressed pixels, checked against the header's size."""
    signed = int(ds.get("PixelRepresentation") or 0) == 1
    try:
        frame = next(generate_frames(ds.PixelData, number_of_frames=1))
        codec = CODECS[syntax]
        _demand_size(frame, shape)
        if codec != "rle" and not frame[-PADDED:].rstrip(b"\0").endswith(END_OF_IMAGE):
            # libjpeg fills what is missing with grey and only warns.
            raise Damaged("the compressed image has no end")  # noqa: TRY301 - one message for all
        return decompress(Compressed(codec, frame, shape, int(ds.BitsAllocated) // 8, signed))
    except Damaged as error:
        if error.misfit:
            raise PixelDecodeError(
                f"{name}: the header says {list(shape)}, the compressed image is {error}; "
                "header and pixels belong to different images"
            ) from error
        raise PixelDecodeError(_undecodable(name, syntax, error)) from error
    except (ValueError, StopIteration, IndexError, EOFError) as error:
        raise PixelDecodeError(_undecodable(name, syntax, error)) from error


def _demand_size(frame: bytes, shape: tuple[int, int]) -> None:
    """Refuse a JPEG 2000 stream of another size unseen: OpenJPH works on one of any size."""
    if frame.startswith(SIZE_MARKER):
        x1, y1, x0, y0 = (int.from_bytes(frame[at : at + 4], "big") for at in (8, 12, 16, 20))
        if (y1 - y0, x1 - x0) != shape:
            raise Damaged(str([y1 - y0, x1 - x0]), misfit=True)


def _undecodable(name: str, syntax: UID, error: Exception) -> str:
    reason = str(error) or type(error).__name__
    return (
        f"{name}: {syntax.name} cannot be decoded ({reason}); the pixels are damaged, send it again"
    )


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
        mask = (1 << stored) - 1
        return pixels if int(pixels.max()) <= mask else np.asarray(pixels & pixels.dtype.type(mask))
    # Up to the top and back: clears foreign high bits and, on signed types, repeats the sign.
    target = np.dtype(f"i{size}" if signed else f"u{size}")
    top = np.left_shift(pixels, np.array(size * 8 - 1 - high_bit, pixels.dtype)).view(target)
    return np.asarray(np.right_shift(top, np.array(size * 8 - stored, target)))
