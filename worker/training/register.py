"""Bring a low-energy image onto the grid of its recombined image.

Public pairs are cropped differently, sometimes resized by a few per cent. What both images share is
the breast against the air, so the outline leads; edges inside refine it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude

FloatImage = npt.NDArray[np.float32]
Features = npt.NDArray[np.float64]  # (2, rows, columns): soft breast mask, edge strength

_SCALES: Final = tuple(round(0.94 + 0.01 * step, 2) for step in range(13))
_COARSE_SIDE, _MIDDLE_SIDE = 48, 320  # longest side in pixels at which scales are tried, settled
_KEPT = 5  # candidates that reach the middle
_MIN_SCORE = 0.85  # below, it is not the same breast: see `register`
_SAME_SCALE = 0.005  # what another scale than 1 must gain


@dataclass(frozen=True)
class Registration:
    """``recombined = scale * low_energy + (down, right)`` in pixels from the image's corner.

    ``score`` is the correlation of both breast outlines where the images overlap, at most 1.
    """

    down: float
    right: float
    scale: float
    score: float

    def __str__(self) -> str:
        return (
            f"moved {self.down:+.0f} rows {self.right:+.0f} columns, scaled {self.scale:.2f}, "
            f"outline correlation {self.score:.2f}"
        )


def register(low_energy: FloatImage, recombined: FloatImage) -> Registration:
    """Shift with scale that lays ``low_energy`` on ``recombined``; both (rows, columns), air dark.

    Of 40 pairs of CDD-CESM all scored 0.86 or more (median 0.97), nine in ten pairs of different
    women below 0.84; `believable` draws the line.
    """
    side = max(*low_energy.shape, *recombined.shape)
    factor = max(1.0, side / _COARSE_SIDE)
    target = _features(_shrunk(recombined, factor))
    found = [_coarse(low_energy, target, scale, factor) for scale in _SCALES]
    found = sorted(found, key=_rank)[-_KEPT:]
    while factor > max(1.0, side / _MIDDLE_SIDE):
        factor = max(factor / 2, 1.0)
        target = _features(_shrunk(recombined, factor))
        found = [_nearby(low_energy, target, one, factor) for one in found]
    best = max(found, key=_rank)
    while factor > 2:  # noqa: PLR2004 -- half resolution settles the shift to a pixel
        factor = max(factor / 2, 2.0)
        target = _features(_shrunk(recombined, factor))
        best = _nearby(low_energy, target, best, factor)
    moving = _features(_shrunk(low_energy, factor / best.scale))
    at = round(best.down / factor), round(best.right / factor)
    score = float(_correlations(target, moving, *at)[0])
    return Registration(round(best.down), round(best.right), best.scale, score)


def _rank(found: Registration) -> float:
    """Another scale than 1 must earn it: most pairs only differ in their crop."""
    return found.score + (_SAME_SCALE if found.scale == 1 else 0)


def believable(found: Registration) -> bool:
    """Whether the two images can show one breast in one compression."""
    return found.score >= _MIN_SCORE


def apply(found: Registration, low_energy: FloatImage, shape: tuple[int, int]) -> FloatImage:
    """``low_energy`` sampled on the grid of the recombined image, (rows, columns) = ``shape``."""
    rows, columns = shape
    step = 1 / found.scale
    matrix = (step, 0.0, -found.right * step, 0.0, step, -found.down * step)
    method = Image.Resampling.NEAREST if found.scale == 1 else Image.Resampling.BICUBIC
    moved = Image.fromarray(low_energy).transform(
        (columns, rows), Image.Transform.AFFINE, matrix, method
    )
    return np.asarray(moved, np.float32)


def _coarse(low_energy: FloatImage, target: Features, scale: float, factor: float) -> Registration:
    """Best of all shifts up to a quarter of the image on a thumbnail."""
    moving = _features(_shrunk(low_energy, factor / scale))
    reach = [round(n / 4) for n in target.shape[1:]]
    moves = product(range(-reach[0], reach[0] + 1), range(-reach[1], reach[1] + 1))
    score, (down, right) = max((_score(target, moving, *move), move) for move in moves)
    return Registration(down * factor, right * factor, scale, score)


def _nearby(
    low_energy: FloatImage, target: Features, start: Registration, factor: float
) -> Registration:
    """Best of the neighbouring shifts on images shrunk by ``factor``."""
    moving = _features(_shrunk(low_energy, factor / start.scale))
    at = round(start.down / factor), round(start.right / factor)
    moves = ((at[0] + i, at[1] + j) for i, j in product(range(-2, 3), repeat=2))
    score, (down, right) = max((_score(target, moving, *move), move) for move in moves)
    return Registration(down * factor, right * factor, start.scale, score)


def _shrunk(image: FloatImage, factor: float) -> FloatImage:
    if factor == 1:
        return image
    rows, columns = (max(8, round(n / factor)) for n in image.shape)
    method = Image.Resampling.BOX if factor > 1 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image).resize((columns, rows), method), np.float32)


def _features(image: FloatImage) -> Features:
    """Soft breast mask, edge strength; the latter bounded so that labels do not rule."""
    level = 0.025 * max(float(image.max()), 1.0)
    mask = gaussian_filter((image > level).astype(np.float32), 1.5)
    edges = gaussian_gradient_magnitude(image, 1.0)
    typical = float(np.median(edges[edges > 0])) if (edges > 0).any() else 1.0
    return np.stack([mask, np.tanh(edges / (4 * typical))]).astype(np.float64)


def _score(target: Features, moving: Features, down: int, right: int) -> float:
    outline, edges = _correlations(target, moving, down, right)
    return float(outline + 0.5 * edges)


def _correlations(target: Features, moving: Features, down: int, right: int) -> Features:
    """Pearson correlation of each feature over the overlap, (2,); -1 where there is hardly any."""
    (rows, columns), (high, wide) = target.shape[1:], moving.shape[1:]
    top, left = max(0, down), max(0, right)
    bottom, edge = min(rows, high + down), min(columns, wide + right)
    count = max(0, bottom - top) * max(0, edge - left)
    if count < 0.6 * min(rows * columns, high * wide):
        return np.array([-1.0, -1.0])
    a = target[:, top:bottom, left:edge]
    b = moving[:, top - down : bottom - down, left - right : edge - right]
    sum_a, sum_b = np.einsum("kij->k", a), np.einsum("kij->k", b)
    var_a = np.einsum("kij,kij->k", a, a) - sum_a * sum_a / count
    var_b = np.einsum("kij,kij->k", b, b) - sum_b * sum_b / count
    shared = np.einsum("kij,kij->k", a, b) - sum_a * sum_b / count
    return np.asarray(shared / np.sqrt(np.maximum(var_a * var_b, 1e-12)))
