"""Small grey images in every lossless transfer syntax."""

from __future__ import annotations

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames

from worker.exam.decode import NATIVE


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
