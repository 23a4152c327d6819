"""Lesion outlines with few enough points to travel in a report."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Polygon = npt.NDArray[np.float64]

_POINTS = 100  # viewers draw 50 to 100 points well
_MOST_POINTS = 1600
_AREA_TOLERANCE = 0.005


def area(polygon: Polygon) -> float:
    """Area inside a polygon (N, 2), in squared units of its coordinates (shoelace formula)."""
    x, y = (polygon - polygon[0]).T
    return float(abs(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2)


def thin(polygon: Polygon, shape: tuple[int, int]) -> Polygon:
    """``polygon`` closed, inside the image of ``shape`` (rows, columns), with about 100 points.

    Points lie at equal distances along the outline. A spiculated outline that would lose more than
    half a percent of its area keeps more of them.

    Returns
    -------
    (N, 2) float64, first point repeated at the end.
    """
    rows, columns = shape
    closed = (
        polygon if np.array_equal(polygon[0], polygon[-1]) else np.vstack([polygon, polygon[:1]])
    )
    closed = np.clip(closed, 0.0, (columns, rows))
    if len(closed) <= _POINTS + 1:
        return closed
    whole = area(closed)
    count = _POINTS
    thinned = _resample(closed, count)
    while abs(area(thinned) - whole) > _AREA_TOLERANCE * whole and count < _MOST_POINTS:
        count *= 2
        thinned = _resample(closed, count)
    return thinned


def _resample(closed: Polygon, count: int) -> Polygon:
    """``count`` points at equal distances along ``closed``; the first is repeated at the end."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    at = np.linspace(0.0, along[-1], count + 1)
    points = np.column_stack([np.interp(at, along, closed[:, axis]) for axis in (0, 1)])
    points[-1] = points[0]
    return points
