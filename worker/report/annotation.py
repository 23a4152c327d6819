"""Graphics and text over an image, in its pixels (PS3.3 C.10.5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from worker.report.identity import NamedView
from worker.report.outline import Polygon, thin
from worker.report.wording import doubt, percent

_NOTICE = "AI, research use, not for diagnosis"
_NO_LESION = "AI: no lesion found; research use"
_LINE = 1 / 45  # height of a line of text as a share of the image's
_ADVANCE = 0.6  # width of a letter as a share of the line's height: a wide average


@dataclass(frozen=True)
class _Box:
    """Where a text stands: (column, row) of its corners, in pixels from the image's corner."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def notice_objects(view: NamedView) -> list[Dataset]:
    """What the result is, at the bottom corner away from the chest wall."""
    if not view.result.lesions:
        return [_text(_NO_LESION, _corner(view, [_NO_LESION]), at_left=_air_at_left(view))]
    lines = [_NOTICE]
    against = doubt(view.finding)
    if against:
        lines.insert(0, against)
    return [_text("\r\n".join(lines), _corner(view, lines), at_left=_air_at_left(view))]


def lesion_objects(view: NamedView) -> tuple[list[Dataset], list[Dataset]]:
    """Label and outline of each lesion; the outline has the very points of the report's."""
    rows, columns = _shape(view)
    p = view.finding.p_malignant
    words = "no probability" if p is None else f"p(malignant) {percent(p)} %"
    taken: list[_Box] = []
    texts, outlines = [], []
    for number, lesion in enumerate(view.result.lesions, start=1):
        points = thin(lesion.outline, (rows, columns))
        label = f"{number}: {words}"
        box = _free(list(_beside(points, label, (rows, columns))), taken)
        taken.append(box)
        texts.append(_text(label, box, at_left=True))
        outlines.append(_closed_polyline(points))
    return texts, outlines


def _shape(view: NamedView) -> tuple[int, int]:
    image = view.result.recombined
    return int(image.Rows), int(image.Columns)


def _air_at_left(view: NamedView) -> bool:
    """A mirrored frame is one whose chest wall is on the right of the stored image."""
    return view.result.frame.flipped


def _size(lines: list[str], shape: tuple[int, int]) -> tuple[float, float]:
    """Width and height of ``lines``, never more than the image has."""
    rows, columns = shape
    line = rows * _LINE
    width = _ADVANCE * line * max(len(words) for words in lines)
    return min(width, columns - 2.0), min(line * len(lines), rows - 2.0)


def _corner(view: NamedView, lines: list[str]) -> _Box:
    rows, columns = _shape(view)
    width, height = _size(lines, (rows, columns))
    margin = min(rows * _LINE / 2, (columns - width) / 2)
    left = margin if _air_at_left(view) else columns - margin - width
    return _Box(left, rows - margin - height, left + width, rows - margin)


def _beside(points: Polygon, words: str, shape: tuple[int, int]) -> Iterator[_Box]:
    """Places for a label, the best first: above the outline, below it, right, left."""
    rows, columns = shape
    width, height = _size([words], shape)
    (west, north), (east, south) = points.min(axis=0), points.max(axis=0)
    gap = height / 4
    middle = (north + south - height) / 2
    for left, top in (
        (west, north - gap - height),
        (west, south + gap),
        (east + gap, middle),
        (west - gap - width, middle),
    ):
        x = float(np.clip(left, 1, columns - 1 - width))
        y = float(np.clip(top, 1, rows - 1 - height))
        yield _Box(x, y, x + width, y + height)


def _free(places: list[_Box], taken: list[_Box]) -> _Box:
    """The first place that no other label has; the first of all where none is left."""
    for place in places:
        if not any(place.meets(other) for other in taken):
            return place
    return places[0]


def _text(words: str, box: _Box, *, at_left: bool) -> Dataset:
    item = Dataset()
    item.BoundingBoxAnnotationUnits = "PIXEL"
    item.UnformattedTextValue = words
    item.BoundingBoxTopLeftHandCorner = [box.left, box.top]
    item.BoundingBoxBottomRightHandCorner = [box.right, box.bottom]
    item.BoundingBoxTextHorizontalJustification = "LEFT" if at_left else "RIGHT"
    return item


def _closed_polyline(points: Polygon) -> Dataset:
    r"""PIXEL units, 0\0 at the top left corner of the first pixel, as in a report's SCOORD."""
    item = Dataset()
    item.GraphicAnnotationUnits = "PIXEL"
    item.GraphicDimensions = 2
    item.NumberOfGraphicPoints = len(points)
    item.GraphicData = points.astype(np.float32).ravel().tolist()
    item.GraphicType = "POLYLINE"
    item.GraphicFilled = "N"
    return item
