"""Images compressed without loss, in every syntax that the node takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
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

ENCODERS: dict[UID, Callable[[np.ndarray], bytes]] = {
    JPEGLosslessSV1: lambda pixels: imagecodecs.ljpeg_encode(pixels, bitspersample=16),
    JPEGLossless: lambda pixels: imagecodecs.ljpeg_encode(pixels, bitspersample=16),
    JPEGLSLossless: imagecodecs.jpegls_encode,
    JPEG2000Lossless: lambda pixels: imagecodecs.jpeg2k_encode(
        pixels, codecformat="j2k", level=0, reversible=True
    ),
    HTJ2KLossless: lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=True),
    HTJ2KLosslessRPCL: lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=True),
}
NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
SYNTAXES = (*NATIVE, *ENCODERS, RLELossless)


def recode(source: Path, target: Path, syntax: UID) -> None:
    """Write ``source`` (explicit VR little endian) to ``target`` in another syntax."""
    ds: Dataset = dcmread(source)
    if syntax == RLELossless:
        ds.compress(RLELossless, generate_instance_uid=False)
    elif syntax in ENCODERS:
        frame = ENCODERS[syntax](ds.pixel_array)
        ds.PixelData = encapsulate([frame])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    elif syntax == ExplicitVRBigEndian:
        ds.PixelData = ds.pixel_array.astype(">u2").tobytes()
    ds.file_meta.TransferSyntaxUID = syntax
    dcmwrite(
        target, ds,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
    )  # fmt: skip
