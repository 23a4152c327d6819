"""How well a mask agrees with the one that a person drew."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from worker.contracts import Mask


def dice(one: Mask, other: Mask) -> float:
    """2 |A and B| / (|A| + |B|); 1 for two empty masks.

    >>> a = np.array([[True, True, False]]); b = np.array([[False, True, True]])
    >>> dice(a, b), dice(a, ~a), dice(a & ~a, b & ~b)
    (0.5, 0.0, 1.0)
    """
    total = int(one.sum()) + int(other.sum())
    return 1.0 if total == 0 else 2 * int((one & other).sum()) / total


def hd95(one: Mask, other: Mask, spacing: tuple[float, float] = (1.0, 1.0)) -> float | None:
    """95th percentile of the distances between both borders, in units of ``spacing`` (row, column).

    Symmetric: the larger of both directions' percentiles. None where a mask is empty.
    """
    if not one.any() or not other.any():
        return None
    borders = [mask & ~ndimage.binary_erosion(mask) for mask in (one, other)]
    ways = []
    for border, target in (borders, borders[::-1]):
        distance = ndimage.distance_transform_edt(~target, sampling=spacing)
        ways.append(float(np.percentile(distance[border], 95)))
    return max(ways)
