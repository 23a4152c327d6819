"""How an image's stored values become grey values, as a presentation state repeats it."""

from __future__ import annotations

from collections.abc import Sequence as Items
from copy import deepcopy

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from worker.report import content
from worker.report.wording import long_string

_RESCALE = ("RescaleIntercept", "RescaleSlope")
_AMBIGUOUS = {"US or SS": "US", "US or OW": "OW"}  # mammograms are unsigned (PS3.3 C.8.11.7)


def polarity(image: Dataset) -> str:
    """Presentation LUT Shape: INVERSE where the lowest value is shown white.

    A presentation state's shape stands in for Photometric Interpretation, which it ignores
    (PS3.4 N.2.1).
    """
    shape = str(image.get("PresentationLUTShape") or "").upper()
    inverse = image.get("PhotometricInterpretation") == "MONOCHROME1" or shape == "INVERSE"
    return "INVERSE" if inverse else "IDENTITY"


def same_grey_scale(one: Dataset, other: Dataset) -> bool:
    """Whether one state can serve both: it has one Modality LUT and one polarity for all."""
    return _rescale(one) == _rescale(other) and polarity(one) == polarity(other)


def copy_modality_lut(ds: Dataset, image: Dataset) -> None:
    """Rescale of ``image``: without it, a state's Modality LUT is the identity (C.11.1)."""
    if _rescale(image) is None:
        return
    for keyword in _RESCALE:
        ds.add(deepcopy(image[keyword]))
    ds.RescaleType = str(image.get("RescaleType") or "US")


def _rescale(image: Dataset) -> tuple[float, ...] | None:
    values = [image.get(keyword) for keyword in _RESCALE]
    return None if None in values else tuple(float(value) for value in values)


def softcopy_voi(images: Items[Dataset]) -> list[Dataset]:
    """Items of the Softcopy VOI LUT Sequence (PS3.3 C.11.8): one for all, or one for each image."""
    found = [(image, item) for image in images if (item := _voi(image)) is not None]
    if len(found) == len(images) and all(item == found[0][1] for _, item in found):
        return [found[0][1]]
    for image, item in found:
        item.ReferencedImageSequence = Sequence([content.reference(image)])
    return [item for _, item in found]


def _voi(image: Dataset) -> Dataset | None:
    """The first alternative of the image; a table before a window, as it says more of the curve.

    Only one may be in a state, where an image may have several of both.
    """
    tables = image.get("VOILUTSequence")
    if tables and "LUTData" in tables[0] and "LUTDescriptor" in tables[0]:
        item = Dataset()
        item.VOILUTSequence = Sequence([_table(tables[0])])
        return item
    centre, width = (_first(image, keyword) for keyword in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None:
        return None
    item = Dataset()
    item.WindowCenter, item.WindowWidth = centre, width
    explanation = _first(image, "WindowCenterWidthExplanation")
    if explanation:
        item.WindowCenterWidthExplanation = long_string(str(explanation))
    if image.get("VOILUTFunction"):
        item.VOILUTFunction = image.VOILUTFunction  # SIGMOID: PS3.3 C.11.2.1.3.1
    return item


def _first(image: Dataset, keyword: str) -> object | None:
    """The first value of an attribute that may have several, or none."""
    if keyword not in image or image[keyword].is_empty:
        return None
    element = image[keyword]
    first: object = element.value[0] if element.VM > 1 else element.value
    return first


def _table(source: Dataset) -> Dataset:
    table = Dataset()
    for keyword in ("LUTDescriptor", "LUTData"):
        element = deepcopy(source[keyword])
        element.VR = _AMBIGUOUS.get(element.VR, element.VR)
        table.add(element)
    if source.get("LUTExplanation"):
        table.LUTExplanation = long_string(str(source.LUTExplanation))
    return table
