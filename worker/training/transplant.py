"""A lesion of one breast put into another that has none.

What a lesion adds to its surroundings is taken over, in both energies: contrast medium adds its
signal to whatever lies behind it. A network then sees each lesion in many breasts, beside tissue
that enhances by itself, and cannot learn the breast that it came from.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from worker.contracts import FloatImage, Mask
from worker.exam.pixels import BRIGHTEST, OUTSIDE
from worker.training.borrow import DARKEST

RIM, FEATHER = 3, 2.0  # network pixels around the drawn lesion that move with it; their softness
RING = 12  # network pixels around the rim: the surroundings that a lesion stands out from
LARGEST = 0.12  # share of the grid: what is larger is no single lesion, and has no surroundings
INSIDE = 0.7  # least share of the lesion that must lie in its new breast
TRIALS = 8
CONTRAST = (0.7, 1.2)  # of the transplanted lesion


def transplanted(
    target: FloatImage, donor: FloatImage, lesion: Mask, rng: np.random.Generator
) -> tuple[FloatImage, Mask] | None:
    """``target`` (2, H, W) with the lesion of ``donor`` (2, H, W), and the lesion's new mask.

    A channel that is empty in ``target`` stays so. None where the lesion does not fit.
    """
    if not 0 < lesion.mean() <= LARGEST:
        return None
    addition, mask = _cut_out(donor, lesion)
    if rng.random() < 0.5:  # noqa: PLR2004 - one of two
        addition, mask = addition[:, ::-1], mask[::-1]
    inside = target[1] > OUTSIDE
    rows, columns = np.nonzero(inside)
    for _ in range(TRIALS):
        at = int(rng.integers(rows.size))
        place = _place(mask.shape, (int(rows[at]), int(columns[at])), inside.shape)
        moved = _on_grid(mask[None].astype(np.float32), place, inside.shape)[0] > 0
        if (moved & inside).sum() >= INSIDE * mask.sum():
            extra = _on_grid(addition, place, inside.shape) * rng.uniform(*CONTRAST)
            there = target > OUTSIDE
            changed = np.clip(target + extra, DARKEST, BRIGHTEST)
            return np.where(there, changed, target).astype(np.float32), moved & inside
    return None


def _cut_out(donor: FloatImage, lesion: Mask) -> tuple[FloatImage, Mask]:
    """What the lesion adds to its surroundings (2, h, w), with its mask (h, w)."""
    body = ndimage.binary_dilation(lesion, iterations=RIM)
    around = ndimage.binary_dilation(body, iterations=RING) & ~body & (donor[1] > OUTSIDE)
    soft = ndimage.gaussian_filter(body.astype(np.float32), FEATHER)
    rows, columns = np.nonzero(soft > 0.01)  # noqa: PLR2004 - nothing to see below
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    level = np.median(donor[:, around], axis=1) if around.any() else np.zeros(len(donor))
    present = donor > OUTSIDE
    addition = np.where(present, donor - level[:, None, None], 0) * soft
    return addition[:, box[0], box[1]].astype(np.float32), lesion[box]


def _place(
    shape: tuple[int, int], centre: tuple[int, int], grid: tuple[int, int]
) -> tuple[int, int]:
    """Top left corner of a patch of ``shape`` around ``centre``, moved so that it fits."""
    corners = (c - n // 2 for c, n in zip(centre, shape, strict=True))
    top, left = (
        int(np.clip(corner, min(0, whole - n), max(0, whole - n)))
        for corner, n, whole in zip(corners, shape, grid, strict=True)
    )
    return top, left


def _on_grid(patch: FloatImage, place: tuple[int, int], grid: tuple[int, int]) -> FloatImage:
    """A patch (C, h, w) at ``place`` of an empty grid (C, H, W)."""
    whole = np.zeros((patch.shape[0], *grid), dtype=np.float32)
    top, left = max(place[0], 0), max(place[1], 0)
    part = patch[:, top - place[0] :, left - place[1] :][:, : grid[0] - top, : grid[1] - left]
    whole[:, top : top + part.shape[1], left : left + part.shape[2]] = part
    return whole
