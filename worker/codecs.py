"""The codecs of the lossless compressions, by name, each into an array or the reason why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.integer]

J2K_THREADS = 2  # of one image
RLE_HEADER_BYTES = 64  # PS3.5 G.5
_JPEG_FAMILY: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "jpeg": imagecodecs.jpeg_decode,  # libjpeg-turbo, JPEG Lossless (T.81, process 14)
        "jpegls": imagecodecs.jpegls_decode,  # CharLS, T.87
        "jpeg2k": partial(imagecodecs.jpeg2k_decode, numthreads=J2K_THREADS),  # OpenJPEG, T.800
        "htj2k": imagecodecs.htj2k_decode,  # OpenJPH, T.814
    }
)


def decode_frame(codec: str, frame: bytes | memoryview, out: Array) -> Array:
    """Decode ``frame`` into ``out`` (rows, columns) where its values fit there; else anew.

    ``out`` has the size and the type of pixel that the header announces. What comes back in its
    place, of another shape or type, is what the stream holds.

    Raises
    ------
    ValueError, RuntimeError, MemoryError and others of the codec's own
        When the stream is damaged.
    """
    if codec == "rle":
        return _rle(frame, out)
    decode = _JPEG_FAMILY[codec]
    if out.dtype.kind == "u":
        try:
            return np.asarray(decode(frame, out=out))
        except ValueError as error:
            if not str(error).startswith("invalid out"):
                raise
    # A signed stream knows its sign only in the type that the codec gives it.
    return np.asarray(decode(frame))


def _rle(frame: bytes | memoryview, out: Array) -> Array:
    """RLE frame (PS3.5 Annex G): one segment per byte plane, most significant byte first."""
    size = out.dtype.itemsize
    if len(frame) < RLE_HEADER_BYTES or int.from_bytes(frame[:4], "little") != size:
        raise ValueError("the RLE header does not fit Bits Allocated")
    # A short segment leaves its bytes as they are, and these were another image's.
    out[:] = 0
    flat = imagecodecs.dicomrle_decode(
        bytes(frame), dtype=np.dtype(f"<u{size}"), out=out.view(np.uint8).ravel().data
    )
    values = np.frombuffer(flat, f"<u{size}")
    if values.size < out.size:
        raise ValueError(f"{values.size} of {out.size} pixels")
    return values[: out.size].reshape(out.shape)
