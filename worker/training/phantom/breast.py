"""One compressed breast as tissue maps on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from worker.training.phantom.field import (
    Grid,
    fine_noise,
    lines,
    power_noise,
    resize,
    soften,
    stream,
)
from worker.training.phantom.physics import Field

_ROUND = 2.05  # exponent of the outline: 2 is an ellipse, more is squarer
_DENSITY = ((0.15, 0.10), (0.40, 0.20), (0.35, 0.36), (0.10, 0.52))  # share, mean gland of A..D


@dataclass(frozen=True)
class Anatomy:
    """What both views of one breast share. Lengths in mm."""

    depth: float  # chest wall to nipple
    lateral: float  # nipple to lateral edge at the chest wall
    medial: float
    inferior: float  # nipple to the fold below, MLO
    axilla: float  # depth of tissue at the top of the MLO image
    muscle: float  # width of the pectoral muscle at the top of the MLO image
    muscle_end: float  # height at which it leaves the MLO image, down from the nipple
    thickness: float
    density: float  # glandular fraction of the parenchyma
    enhancement: float  # background parenchymal enhancement, mg/cm2 of iodine


@dataclass(frozen=True)
class Tissue:
    """Maps of one view, each (rows, columns) float32 on the working grid."""

    inside_mm: Field  # distance from the skin, negative outside
    thickness_cm: Field
    gland_cm: Field
    iodine_mg_cm2: Field


def anatomy(seed: int, laterality: str) -> Anatomy:
    """The breast of one side: both sides of a woman resemble each other."""
    woman, side = stream(seed, "woman"), stream(seed, "side", laterality)

    def both(low: float, high: float, spread: float) -> float:
        return float(woman.uniform(low, high) * (1 + side.normal(0, spread)))

    depth = both(74, 118, 0.03)
    shares = [share for share, _ in _DENSITY]
    mean = _DENSITY[int(woman.choice(len(_DENSITY), p=shares))][1]
    return Anatomy(
        depth=depth,
        lateral=min(depth * both(0.92, 1.2, 0.03), 108.0),
        medial=min(depth * both(0.85, 1.1, 0.03), 102.0),
        inferior=min(depth * both(0.72, 0.9, 0.03), 84.0),
        axilla=depth * both(0.5, 0.68, 0.05),
        muscle=both(30, 58, 0.08),
        muscle_end=both(-30, 25, 0.1),
        thickness=both(38, 66, 0.03),
        density=float(np.clip(mean * both(0.8, 1.2, 0.05), 0.06, 0.75)),
        enhancement=float(np.clip(woman.lognormal(np.log(0.06), 0.7), 0.02, 0.25)),
    )


def nipple_row_mm(view: str) -> float:
    """Height of the nipple below the middle of the image: MLO leaves room for the axilla."""
    return 28.0 if view == "MLO" else 0.0


def inside_mm(shape: Anatomy, view: str, x: Field, y: Field) -> Field:
    """Distance from the skin in mm at depth ``x`` and height ``y`` below the nipple, broadcast."""
    below = shape.inferior if view == "MLO" else shape.medial
    down = np.where(y >= 0, y / below, -y / shape.lateral)
    away = x / shape.depth
    rho = np.maximum((away**_ROUND + down**_ROUND) ** (1 / _ROUND), np.float32(1e-3))
    # |grad rho|: rho is homogeneous of degree one, so (1 - rho) / |grad| is exact for a circle.
    scale = np.where(y >= 0, below, shape.lateral)
    slope = np.hypot(
        (away / rho) ** (_ROUND - 1) / shape.depth, (down / rho) ** (_ROUND - 1) / scale
    )
    oval = ((1 - rho) / np.maximum(slope, 1e-4)).astype(np.float32)
    if view != "MLO":
        return np.asarray(oval)
    return np.where(y >= 0, oval, _towards_axilla(shape, x, y)).astype(np.float32)


def _towards_axilla(shape: Anatomy, x: Field, y: Field) -> Field:
    """The upper outline of the MLO view: from the nipple to the axilla in a shallow S."""
    reach = 150.0
    t = np.clip(-y / reach, 0, 1)
    bend = 1.7
    edge = shape.depth - (shape.depth - shape.axilla) * (1.25 * t**bend - 0.25 * t**4)
    slope = (shape.depth - shape.axilla) / reach * (1.25 * bend * t ** (bend - 1) - t**3)
    return np.asarray((edge - x) / np.sqrt(1 + slope * slope), np.float32)


def tissue(seed: int, laterality: str, view: str, grid: Grid) -> Tissue:
    """Everything between the plates in one view, without lesions."""
    shape = anatomy(seed, laterality)
    rng = stream(seed, "tissue", laterality, view)
    x, y = grid.axes()
    y = y - np.float32(nipple_row_mm(view))
    inside = inside_mm(shape, view, x, y)
    inside += _wobble(rng, grid)
    inside = _joined(inside, _nipple(shape, x, y))
    thickness_cm = _rolled(inside, shape.thickness) / 10
    share = _gland_share(seed, laterality, view, grid, shape, inside)
    strands = _strands(rng, grid, view, shape, inside)
    gland_cm = thickness_cm * share + strands
    muscle = _muscle(shape, view, x, y, _wobble(rng, grid))
    gland_cm = gland_cm + 0.38 * muscle * (thickness_cm - gland_cm)
    skin_cm = 0.16 + 0.3 * np.clip(1 - np.abs(inside - 1.0) / 1.2, 0, 1)
    gland_cm = np.clip(gland_cm + skin_cm, 0, thickness_cm)
    iodine = _iodine(rng, grid, view, shape, inside, share * (1 - muscle))
    return Tissue(inside, thickness_cm.astype(np.float32), gland_cm.astype(np.float32), iodine)


def _rolled(inside: Field, thickness: float) -> Field:
    """Thickness in mm: parallel plates with a half-round edge between them."""
    edge = np.clip(1 - inside / (thickness / 2), 0, 1)
    return np.where(inside > 0, thickness * np.sqrt(1 - edge * edge), 0).astype(np.float32)


def _wobble(rng: np.random.Generator, grid: Grid) -> Field:
    """Unevenness of the outline, about 1 mm at a scale of centimetres."""
    coarse = gaussian_filter(rng.standard_normal((64, 56), np.float32), 2.5)
    return grid.resample(coarse / coarse.std() * np.float32(0.9), 4.48)


def _nipple(shape: Anatomy, x: Field, y: Field) -> Field:
    """Distance from the skin of a nipple in profile: a knob of 5 mm."""
    radius = 5.5
    return np.asarray(radius - np.hypot(x - (shape.depth - 1.0), y), np.float32)


def _joined(one: Field, other: Field) -> Field:
    """Union of two distances with a fillet of some millimetres (polynomial smooth maximum)."""
    fillet = np.float32(5.0)
    near = np.clip(1 - np.abs(one - other) / fillet, 0, 1) * (np.abs(one) < 12)  # noqa: PLR2004 -- mm around the skin
    return np.asarray(np.maximum(one, other) + near * near * fillet / 4, np.float32)


def _gland_share(
    seed: int, laterality: str, view: str, grid: Grid, shape: Anatomy, inside: Field
) -> Field:
    """Share of gland along the path: lobules of fat between sheets of gland, seen in layers."""
    share = np.zeros_like(inside)
    rng = stream(seed, "gland", laterality, view)
    fine = fine_noise(stream(seed, "fine", laterality, view), grid, 0.9)
    for noise in power_noise(rng, grid, beta=3.0, coarsest_mm=26, stretch=1.3):
        detail = noise + 0.10 * fine
        share += 0.30 * _sigmoid((detail + _bias(shape.density)) * 3.0)
    for noise in power_noise(rng, grid, beta=4.2, coarsest_mm=24, stretch=1.7):
        detail = noise + 0.05 * fine
        share += (0.22 + 0.3 * shape.density) * np.exp(-np.square(detail / 0.26))
    share = 0.65 * share + 0.42 * soften(share, grid, 3.0)
    x, y = grid.axes()
    y = y - np.float32(nipple_row_mm(view))
    rng = stream(seed, "cone", laterality, view)
    cone = _wobble(rng, grid) * 5
    depth_share = x / shape.depth
    half = np.float32(0.45 + 0.5 * shape.density) * (shape.lateral if view == "CC" else 70.0)
    high = 8.0 if view == "MLO" else 4.0
    side = _sigmoid((half - np.abs(y + high) + cone) / 7)
    skin = _sigmoid((inside - 9 + cone * 0.8) / 2.0)
    back = _sigmoid((depth_share - 0.12 - 0.25 * (0.5 - shape.density)) / 0.09)
    thin = 0.03 + 0.97 * side * skin * back
    behind_nipple = 0.35 * np.exp(-(((shape.depth - 8 - x) / 9) ** 2 + (y / 7) ** 2))
    return np.asarray(np.clip(share * thin + behind_nipple * skin, 0, 1), np.float32)


def _bias(density: float) -> float:
    """Offset that makes the mean of the sigmoid of unit noise equal ``density``, nearly."""
    return float(1.15 * np.log(density / (1 - density)) / 1.75)


def _sigmoid(value: npt.NDArray[Any]) -> Field:
    return np.asarray(1 / (1 + np.exp(-np.clip(value, -30, 30))), np.float32)


def _walks(
    rng: np.random.Generator, starts: Field, aim: Field, length: Field, bend: float
) -> tuple[Field, Field]:
    """Random curves: (lines, steps, 2) points in mm at 0.25 mm steps, and which steps exist."""
    step = 0.25
    count, steps = len(starts), int(length.max() / step)
    coarse = rng.standard_normal((count, steps // 24 + 3)).astype(np.float32)
    turn = resize(coarse, (count, steps), (0.0, 0.0, steps / 24 + 1, float(count)))
    angle = aim[:, None] + np.float32(bend) * turn
    moves = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * np.float32(step)
    points = starts[:, None, :] + np.cumsum(moves, axis=1)
    exists = np.arange(steps)[None, :] * step < length[:, None]
    return points.astype(np.float32), exists.astype(np.float32) * np.float32(step)


def _strands(
    rng: np.random.Generator, grid: Grid, view: str, shape: Anatomy, inside: Field
) -> Field:
    """Cooper's ligaments with other fibres that give a mammogram its grain, cm of gland."""
    count = 500
    row = nipple_row_mm(view)
    starts = np.stack(
        [rng.uniform(2, shape.depth, count), row - 4 + rng.normal(0, 0.42, count) * shape.lateral],
        axis=1,
    ).astype(np.float32)
    to_nipple = np.arctan2(row - starts[:, 1], shape.depth + 20 - starts[:, 0])
    aim = (0.8 * to_nipple + rng.normal(0, 0.45, count)).astype(np.float32)
    length = rng.uniform(6, 38, count).astype(np.float32)
    points, steps = _walks(rng, starts, aim, length, 0.5)
    strength = rng.lognormal(np.log(0.16), 0.6, count).astype(np.float32)[:, None]
    fine = lines(grid, points[::2].reshape(-1, 2), (steps * strength)[::2].ravel(), 0.28)
    wide = lines(grid, points[1::2].reshape(-1, 2), (steps * strength)[1::2].ravel(), 0.8)
    return np.asarray((fine + wide) * _sigmoid((inside - 4) / 1.5), np.float32)


def _muscle(shape: Anatomy, view: str, x: Field, y: Field, wobble: Field) -> Field:
    """Share of the path in the pectoral muscle: a wedge at the chest wall of the MLO view."""
    if view != "MLO":
        return np.zeros_like(wobble)
    top = -145.0
    t = np.clip((y - top) / (shape.muscle_end - top), 0, 1)
    edge = (shape.muscle + 14) * (1 - t**1.25) - 3 + wobble
    return _sigmoid((edge - x) / 2.2) * (0.45 + 0.5 * _sigmoid((edge - x) / 9) + 0.05 * wobble)


def _iodine(
    rng: np.random.Generator, grid: Grid, view: str, shape: Anatomy, inside: Field, gland: Field
) -> Field:
    """Iodine of healthy tissue: parenchyma (patchy), vessels, skin. mg/cm2."""
    coarse = gaussian_filter(rng.standard_normal((128, 112), np.float32), 1.6)
    patch = np.clip(1 + 0.6 * grid.resample(coarse / coarse.std(), 2.24), 0.1, None)
    soft = soften(gland, grid, 1.5)
    parenchyma = shape.enhancement * patch * soft / max(shape.density, 0.15) * 0.8
    count = int(rng.integers(2, 6))
    row = nipple_row_mm(view)
    sides = rng.choice([-1.0, 1.0], count) * rng.uniform(0.15, 0.6, count) * shape.lateral
    starts = np.stack([rng.uniform(0, 12, count), row + sides], axis=1).astype(np.float32)
    aim = np.arctan2(row - starts[:, 1], shape.depth * 1.6 - starts[:, 0]).astype(np.float32)
    length = rng.uniform(40, 110, count).astype(np.float32)
    points, steps = _walks(rng, starts, aim, length, 0.35)
    strength = rng.lognormal(np.log(0.16), 0.4, count).astype(np.float32)[:, None]
    vessels = lines(grid, points.reshape(-1, 2), (steps * strength).ravel(), 0.7)
    tissue_there = np.clip(inside / 4, 0, 1)
    return np.asarray((0.03 + parenchyma + vessels) * tissue_there, np.float32)
