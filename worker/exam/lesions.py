"""From the segmentation network's probability to lesions on the source grid."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from skimage.measure import find_contours

from dicom_node.domain.spacing import Spacing
from worker.contracts import FloatImage, Frame, Lesion, Mask
from worker.exam.frame import Box, Points, patch_on_source, to_source

MOST_LESIONS = 3  # more is outside the intended use (FAPS: one mass) and is left to the reader
FEWEST_POINTS, MOST_POINTS = 50, 200  # of an outline: smooth to look at, small in an SR
POINT_EVERY_PX = 4.0  # source pixels between outline points, within those limits
SMOOTHING = 0.8  # standard deviation in network pixels: takes the steps off, not the spicules
MARGIN = 3  # network pixels around a component that its own outline may need
FAINTEST, LEVELS = 0.05, (0.1, 0.9)
DEFAULTS = {"segment": 0.5, "peak": 0.6, "min_area_px": 25.0, "max_area_fraction": 0.45}


def outline(
    probability: FloatImage,
    frame: Frame,
    spacing_mm: Spacing | None,
    *,
    thresholds: Mapping[str, float],
) -> tuple[Lesion, ...]:
    """Lesions of one view, largest first; empty when there is none.

    At most one more than ``MOST_LESIONS`` are given: who asks then knows that there are too many.

    The gate comes before any adaptive step: the authors' Otsu threshold finds a lesion in every
    map and marked half of an empty one (faps.md §0.6).

    Parameters
    ----------
    probability : (H, W) in [0, 1] on the network grid of ``frame``
    spacing_mm : (row, column) in the plane of the breast, None where unknown
    thresholds : the bundle's ``segment`` and ``adaptive`` (see ``level_of``), ``peak`` (a lesion
        reaches it), ``min_area_px`` (network pixels) and ``max_area_fraction`` (of the grid)
    """
    limits = {**DEFAULTS, **thresholds}
    if float(probability.max(initial=0.0)) < limits["peak"]:
        return ()
    smooth = ndimage.gaussian_filter(probability.astype(np.float32), SMOOTHING)
    limits["segment"] = level_of(probability, limits)
    labels, count = ndimage.label(smooth >= limits["segment"])
    largest = limits["max_area_fraction"] * probability.size
    found = []
    for index in range(1, count + 1):
        component = labels == index
        area, peak = int(component.sum()), float(probability[component].max())
        if peak >= limits["peak"] and limits["min_area_px"] <= area <= largest:
            found.append((area, peak, component))
    found.sort(key=lambda entry: -entry[0])
    lesions = (
        _lesion(np.where(_neighbourhood(component), smooth, 0.0), frame, spacing_mm, limits, peak)
        for _, peak, component in found[: MOST_LESIONS + 1]
    )
    return tuple(lesion for lesion in lesions if lesion is not None)


def level_of(probability: FloatImage, limits: Mapping[str, float]) -> float:
    """The probability from which a pixel belongs to a lesion of a view that has one.

    ``segment`` of ``limits``; where ``adaptive`` is not 0, the level that promises the largest
    Dice with whatever is true, if probabilities mean what they say: of the k likeliest pixels,
    whose probabilities sum to S_k of S in all, that is 2 S_k / (k + S).
    """
    likely = np.sort(probability[probability > FAINTEST])[::-1]
    if not limits.get("adaptive") or not likely.size:
        return limits["segment"]
    total = np.cumsum(likely, dtype=np.float64)
    expected = 2 * total / (np.arange(1, likely.size + 1) + total[-1])
    return float(np.clip(likely[int(expected.argmax())], *LEVELS))


def _neighbourhood(component: Mask) -> Mask:
    """A component and its rim: enough for the interpolation, too little to reach another one."""
    return np.asarray(ndimage.binary_dilation(component, iterations=1), dtype=np.bool_)


def _lesion(
    smooth: npt.NDArray[np.floating],
    frame: Frame,
    spacing_mm: Spacing | None,
    limits: Mapping[str, float],
    peak: float,
) -> Lesion | None:
    """One component as a lesion on the source grid; None when nothing of it is inside the crop."""
    box = _source_box(smooth > 0, frame)
    if box[0] >= box[2] or box[1] >= box[3]:
        return None
    inside = patch_on_source(frame, smooth, box) >= limits["segment"]
    labels, count = ndimage.label(inside)
    if count == 0:
        return None
    sizes = np.bincount(labels.ravel())
    body = ndimage.binary_fill_holes(labels == int(sizes[1:].argmax()) + 1)
    mask = np.zeros(frame.source_shape, dtype=np.bool_)
    mask[box[0] : box[2], box[1] : box[3]] = body
    polygon = _polygon(body) + np.array([box[1], box[0]], dtype=np.float64)
    area_px = int(body.sum())
    ends, length = _long_axis(polygon, spacing_mm or (1.0, 1.0))
    return Lesion(
        mask=mask,
        outline=polygon,
        area_mm2=None if spacing_mm is None else area_px * spacing_mm[0] * spacing_mm[1],
        long_axis_mm=None if spacing_mm is None else length,
        long_axis=ends,
        area_px=area_px,
        peak_probability=min(max(peak, 0.0), 1.0),
    )


def _source_box(component: Mask, frame: Frame) -> Box:
    """Source pixels that a network component can reach, inside the crop."""
    rows, columns = np.flatnonzero(component.any(axis=1)), np.flatnonzero(component.any(axis=0))
    first = (columns[0] - MARGIN, rows[0] - MARGIN)
    last = (columns[-1] + 1 + MARGIN, rows[-1] + 1 + MARGIN)
    corners = np.array([first, last], dtype=np.float64)
    source = to_source(frame, corners)
    left, top = np.floor(source.min(axis=0)).astype(int)
    right, bottom = np.ceil(source.max(axis=0)).astype(int)
    return (
        max(int(top), frame.top),
        max(int(left), frame.left),
        min(int(bottom), frame.bottom),
        min(int(right), frame.right),
    )


def _polygon(body: Mask) -> Points:
    """Closed outline (N, 2) of (column, row) points, corner origin, of one hole-free region.

    Points are equally far apart along the region's border; the polygon is then scaled about its
    centre so that it encloses exactly the region's area (a chord cuts every curve a little).
    """
    contours = find_contours(np.pad(body, 1).astype(np.float32), 0.5)  # type: ignore[no-untyped-call]  # scikit-image has no types
    border = max(contours, key=len)[:, ::-1] - 1 + 0.5  # (column, row); pixel centres are at 0.5
    steps = np.hypot(*np.diff(border, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    count = int(np.clip(along[-1] / POINT_EVERY_PX, FEWEST_POINTS, MOST_POINTS - 1))
    at = np.linspace(0.0, along[-1], count + 1)
    points = np.stack([np.interp(at, along, border[:, axis]) for axis in (0, 1)], axis=1)
    points[-1] = points[0]
    enclosed = _area(points)
    centre = points[:-1].mean(axis=0)
    scaled = centre + (points - centre) * np.sqrt(float(body.sum()) / enclosed)
    limit = np.array([body.shape[1], body.shape[0]], dtype=np.float64)
    return np.asarray(np.clip(scaled, 0.0, limit), dtype=np.float64)


def _area(polygon: Points) -> float:
    """Area of a closed polygon (shoelace formula)."""
    x, y = polygon[:, 0], polygon[:, 1]
    return abs(float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))) / 2


def _long_axis(
    polygon: Points, spacing_mm: Spacing
) -> tuple[tuple[tuple[float, float], tuple[float, float]], float]:
    """The two outline points furthest apart in millimetres, and their distance in mm."""
    points = np.unique(polygon, axis=0)
    with contextlib.suppress(QhullError):  # a line has no hull; its points are few
        points = points[ConvexHull(points).vertices]
    scaled = points * np.array([spacing_mm[1], spacing_mm[0]])
    distance = np.hypot(*(scaled[:, None] - scaled[None]).transpose(2, 0, 1))
    first, second = np.unravel_index(int(distance.argmax()), distance.shape)
    a, b = points[first], points[second]
    ends = ((float(a[0]), float(a[1])), (float(b[0]), float(b[1])))
    return ends, float(distance[first, second])
