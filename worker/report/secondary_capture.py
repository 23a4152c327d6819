"""The picture of one analysed view as a colour Secondary Capture, for viewers that draw no more."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import SecondaryCaptureImageStorage

from worker.contracts import Analysis, Role
from worker.report import codes, content
from worker.report.identity import MANUFACTURER, MODEL_NAME, NamedView, Place, stamp
from worker.report.wording import NOT_REVIEWED, RESEARCH_USE, count

Picture = Image.Image | npt.NDArray[np.uint8]  # RGB; an array is (rows, columns, 3)

_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def secondary_capture(analysis: Analysis, view: NamedView, picture: Picture) -> Dataset:
    """``picture`` of ``view`` as 8-bit RGB, without a pixel spacing: it is not for measuring.

    Modality is OT and the series its own, so that no hanging protocol takes it for a mammogram and
    no analysis takes it in again.

    Raises
    ------
    ValueError
        When the picture is not 8-bit RGB, or larger than the image that it shows.
    """
    source = view.result.recombined
    pixels = _checked(picture, view)
    rows, columns = pixels.shape[:2]
    ds = Dataset()
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.ConversionType = "WSD"
    ds.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    ds.SecondaryCaptureDeviceManufacturerModelName = MODEL_NAME
    ds.BurnedInAnnotation = "YES"
    ds.Laterality = view.result.pair.laterality
    ds.BodyPartExamined = "BREAST"
    orientation = source.get("PatientOrientation")
    ds.PatientOrientation = list(orientation) if orientation else ""
    for keyword in _LOSSY:
        if keyword in source:
            ds.add(source[keyword])
    same_grid = (rows, columns) == (int(source.Rows), int(source.Columns))
    ds.SourceImageSequence = Sequence([_source(source, same_grid=same_grid)])
    ds.DerivationDescription = (
        f"Recombined image windowed, {rows} x {columns}; heat map, outlines and text by "
        f"AI software burned in. {RESEARCH_USE}"
    )
    _add_pixels(ds, pixels)
    lesions = view.result.lesions
    found = count(len(lesions), "lesion") if lesions else "no lesion found"
    place = Place(
        role=Role.SC,
        key=view.key,
        modality="OT",
        number=view.number,
        series_description=f"AI {view.name}: {found}, picture {NOT_REVIEWED}",
    )
    stamp(ds, analysis, source, place)
    ds.DateOfSecondaryCapture, ds.TimeOfSecondaryCapture = ds.ContentDate, ds.ContentTime
    return ds


def _checked(picture: Picture, view: NamedView) -> npt.NDArray[np.uint8]:
    """(rows, columns, 3) uint8."""
    pixels: npt.NDArray[np.uint8] = np.asarray(picture)
    source = view.result.recombined
    limit = (int(source.Rows), int(source.Columns))
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:  # noqa: PLR2004 - RGB
        raise ValueError(
            f"{view.name}: a picture is 8-bit RGB (rows, columns, 3), not {pixels.dtype} "
            f"{pixels.shape}; draw it with worker.report.preview."
        )
    if pixels.shape[0] > limit[0] or pixels.shape[1] > limit[1]:
        raise ValueError(
            f"{view.name}: the picture {pixels.shape[:2]} is larger than its image {limit}; "
            "it would promise detail that the image has not: draw it smaller."
        )
    return pixels


def _source(image: Dataset, *, same_grid: bool) -> Dataset:
    """Reference to the image; a reduced picture has its pixels elsewhere (PS3.3 C.7.6.1)."""
    item = content.reference(image)
    item.SpatialLocationsPreserved = "YES" if same_grid else "NO"
    item.PurposeOfReferenceCodeSequence = Sequence([codes.code_item(codes.SOURCE_IMAGE)])
    return item


def _add_pixels(ds: Dataset, pixels: npt.NDArray[np.uint8]) -> None:
    """Image Pixel module (PS3.3 C.7.6.3), colour by pixel."""
    ds.SamplesPerPixel = 3
    ds.PhotometricInterpretation = "RGB"
    ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelRepresentation = 0
    content_bytes = pixels.tobytes()
    ds.PixelData = content_bytes + b"\0" * (len(content_bytes) % 2)
    ds["PixelData"].VR = "OB"
