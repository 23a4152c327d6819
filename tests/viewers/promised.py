"""What result objects say that a viewer must show, read from the objects alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from skimage.color import lab2rgb

MEASUREMENT_GROUP, PROBABILITY_OF_CANCER = "125007", "111047"


@dataclass(frozen=True)
class Segment:
    """``colour`` is RGB up to 255, ``mask`` on the grid of the image ``source``."""

    label: str
    colour: np.ndarray
    mask: np.ndarray
    source: str


@dataclass(frozen=True)
class Region:
    """An outline in (column, row), and what is said of it: name, value."""

    outline: np.ndarray
    source: str
    numbers: dict[str, float]


def segments(ds: Dataset) -> list[Segment]:
    frames = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns).astype(bool)
    found = []
    for item in ds.SegmentSequence:
        light, *others = (value / 65535 for value in item.RecommendedDisplayCIELabValue)
        lab = [100 * light, *(255 * value - 128 for value in others)]  # PS3.3 C.10.7.1.1
        of_segment = [
            (frame, groups)
            for frame, groups in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True)
            if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber == item.SegmentNumber
        ]
        ((frame, groups),) = of_segment
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        colour = 255 * lab2rgb(np.array(lab))
        uid = str(source.ReferencedSOPInstanceUID)
        found.append(Segment(str(item.SegmentLabel), colour, frame, uid))
    return found


def regions(report: Dataset) -> list[Region]:
    """Measurement groups that have an outline on an image."""
    found = []
    for group in _items(report):
        if group.ValueType != "CONTAINER" or _code(group) != MEASUREMENT_GROUP:
            continue
        outlines = [one for one in group.ContentSequence if one.ValueType == "SCOORD"]
        numbers = {
            _code(one): float(one.MeasuredValueSequence[0].NumericValue)
            for one in group.ContentSequence
            if one.ValueType == "NUM"
        }
        for one in outlines:
            (image,) = one.ContentSequence
            uid = str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
            found.append(Region(np.reshape(one.GraphicData, (-1, 2)), uid, numbers))
    return found


def _items(parent: Dataset) -> Iterator[Dataset]:
    for item in parent.get("ContentSequence", []):
        yield item
        yield from _items(item)


def _code(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)
