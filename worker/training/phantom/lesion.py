"""A lesion as one three-dimensional body seen in two projections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, map_coordinates

from worker.training.phantom.field import Grid
from worker.training.phantom.physics import Field

Mask = npt.NDArray[np.bool_]

_SIDE, _DEEP = 96, 40  # samples of the box across the image, along the ray
_OBLIQUE = np.float32(np.sqrt(0.5))  # MLO at 45 degrees


@dataclass(frozen=True)
class Body:
    """Shape with contrast uptake of one lesion; lengths in mm, position in the breast's own axes.

    Axes: depth from the chest wall, lateral, superior, the last two from the nipple's plane.
    ``waves`` (N, 5): wave vector, phase, amplitude of the surface; ``patches`` likewise of uptake.
    """

    malignant: bool
    depth: float
    lateral: float
    superior: float
    radius: float
    axes: tuple[float, float, float]
    waves: Field
    patches: Field
    spicules: Field  # (N, 4): unit direction, length; none when smooth
    rim: float  # 0 homogeneous, 1 only the shell takes up iodine
    iodine_mg_cm2: float  # highest areal density in a projection


@dataclass(frozen=True)
class Shadow:
    """A body projected along the ray of one view, on its own small box.

    ``path_mm`` and ``iodine_mg_cm2`` (96, 96) float32 over ``extent_mm`` each way from the centre
    at ``(depth, height)`` mm, height downwards from the nipple.
    """

    depth: float
    height: float
    extent_mm: float
    radius: float
    path_mm: Field
    iodine_mg_cm2: Field


def grow(rng: np.random.Generator, *, malignant: bool) -> Body:
    """A body without a place. Benign and malignant overlap on purpose in every property."""
    radius = float(np.clip(rng.lognormal(np.log(9.0 if malignant else 7.5), 0.3), 4.0, 16.0))
    rough = float(rng.uniform(0.07, 0.24) if malignant else rng.uniform(0.01, 0.10))
    waves = np.concatenate(
        [rng.normal(0, 2.6, (8, 3)), rng.uniform(0, 6.3, (8, 1)), rng.normal(0, rough, (8, 1))], 1
    )
    uneven = 0.22 if malignant else 0.06
    patches = np.concatenate(
        [rng.normal(0, 2.2, (5, 3)), rng.uniform(0, 6.3, (5, 1)), rng.normal(0, uneven, (5, 1))], 1
    )
    count = int(rng.integers(6, 16)) if malignant and rng.random() < 0.75 else 0  # noqa: PLR2004 -- share of spiculated cancers
    directions = rng.normal(0, 1, (count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True) + 1e-9
    lengths = rng.uniform(0.3, 1.1, (count, 1)) * radius
    median = 1.1 if malignant else 0.5
    return Body(
        malignant=malignant,
        depth=0.0,
        lateral=0.0,
        superior=0.0,
        radius=radius,
        axes=(1.0, float(rng.uniform(0.75, 1.0)), float(rng.uniform(0.75, 1.0))),
        waves=waves.astype(np.float32),
        patches=patches.astype(np.float32),
        spicules=np.concatenate([directions, lengths], 1).astype(np.float32),
        rim=float(rng.uniform(0.3, 0.75) if malignant and rng.random() < 0.35 else 0.0),  # noqa: PLR2004 -- share with rim enhancement
        iodine_mg_cm2=float(np.clip(rng.lognormal(np.log(median), 0.4), 0.26, 2.4)),
    )


def place_in(body: Body, view: str) -> tuple[float, float]:
    """Where the body's centre appears: depth, height downwards from the nipple, in mm."""
    if view == "MLO":
        return body.depth, -float(_OBLIQUE) * (body.superior + body.lateral)
    return body.depth, -body.lateral  # lateral is up in CC


def project(body: Body, view: str) -> Shadow:
    """The body's path length with its iodine along the ray of ``view``."""
    extent = body.radius * 2.4
    across = np.linspace(-extent, extent, _SIDE, dtype=np.float32)
    half_deep = body.radius * 1.5
    along = np.linspace(-half_deep, half_deep, _DEEP, dtype=np.float32)
    v, u, w = np.meshgrid(across, across, along, indexing="ij")
    points = _to_body(u, v, w, view) / np.float32(body.radius)
    solid, uptake = _solid(body, points)
    step = float(along[1] - along[0])
    path = solid.sum(axis=2) * step
    iodine = (solid * uptake).sum(axis=2)
    spicules = _spicules(body, view, across)
    path += 0.8 * spicules
    iodine = iodine / max(float(np.percentile(iodine[path > body.radius / 3], 75)), 1e-6)
    iodine = np.maximum(iodine, 0.28 * np.clip(spicules, 0, 1.2)) * body.iodine_mg_cm2
    depth, height = place_in(body, view)
    # Enhancement reaches a little beyond the mass; nothing in the breast has a knife's edge.
    pixel = 2 * extent / _SIDE
    iodine = gaussian_filter(iodine, 0.45 / pixel)
    return Shadow(depth, height, extent, body.radius, path.astype(np.float32), iodine)


def _to_body(u: Field, v: Field, w: Field, view: str) -> Field:
    """Points of the image (depth, down, along the ray) in body axes, stacked first."""
    if view == "MLO":
        return np.stack([u, -_OBLIQUE * (v + w), _OBLIQUE * (w - v)])
    return np.stack([u, -v, w])


def _waves(waves: Field, points: Field) -> Field:
    total = np.zeros(points.shape[1:], np.float32)
    for kx, ky, kz, phase, amplitude in waves:
        angle = kx * points[0] + ky * points[1]
        angle += kz * points[2] + phase
        total += amplitude * np.sin(angle)
    return total


def _solid(body: Body, points: Field) -> tuple[Field, Field]:
    """Soft membership in [0, 1] with relative uptake at points in units of the radius."""
    a, b, c = body.axes
    stretched = points / np.array([a, b, c], np.float32).reshape(3, 1, 1, 1)
    r = np.sqrt((stretched * stretched).sum(axis=0)) + np.float32(1e-4)
    surface = 1 + _waves(body.waves, stretched / r)
    edge = np.float32(0.5 / body.radius)
    solid = np.clip((surface - r) / edge + 0.5, 0, 1)
    uptake = np.clip(1 + _waves(body.patches, points * 1.4), 0.15, None)
    if body.rim:
        shell = np.clip((r / surface - 0.45) / 0.3, 0, 1)
        uptake *= (1 - body.rim) + body.rim * shell
    return np.asarray(solid, np.float32), np.asarray(uptake, np.float32)


def _spicules(body: Body, view: str, across: Field) -> Field:
    """Tapering spikes as path length in mm, drawn where their projection falls."""
    total = np.zeros((len(across), len(across)), np.float32)
    if not len(body.spicules):
        return total
    n, length = body.spicules[:, :3], body.spicules[:, 3]
    if view == "MLO":
        u, v = n[:, 0], -_OBLIQUE * (n[:, 1] + n[:, 2])
    else:
        u, v = n[:, 0], -n[:, 1]
    y, x = np.meshgrid(across, across, indexing="ij")
    for nu, nv, reach in zip(u, v, length, strict=True):
        seen = float(np.hypot(nu, nv)) + 1e-6
        du, dv = nu / seen, nv / seen
        start, end = 0.6 * body.radius * seen, (body.radius + reach) * seen
        forward = x * du + y * dv
        t = np.clip((forward - start) / (end - start), 0, 1)
        width = 1.0 * (1 - t) + 0.15
        aside = np.abs(x * dv - y * du)
        reached = (forward > start) & (forward < end)
        total = np.maximum(total, np.where(reached, np.clip(width - aside, 0, None) * 1.6, 0))
    return np.asarray(total, np.float32)


def cast(shadow: Shadow, image: Field, grid: Grid, nipple_row_mm: float) -> Field:
    """One map of the shadow on ``grid``, zeros around it; bilinear."""
    result = np.zeros((grid.rows, grid.columns), np.float32)
    x, y = grid.axes()
    pixel = 2 * shadow.extent_mm / (len(image) - 1)
    column = (x[0] - shadow.depth + shadow.extent_mm) / pixel
    row = (y[:, 0] - nipple_row_mm - shadow.height + shadow.extent_mm) / pixel
    columns = np.flatnonzero((column >= 0) & (column <= len(image) - 1))
    rows = np.flatnonzero((row >= 0) & (row <= len(image) - 1))
    if not len(rows) or not len(columns):
        return result
    where = np.meshgrid(row[rows], column[columns], indexing="ij")
    box = map_coordinates(image, where, order=1)
    result[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = box
    return result


def outline_mask(shadow: Shadow, grid: Grid, nipple_row_mm: float) -> Mask:
    """What a reader would outline: where the body is at least a third of its radius deep."""
    return cast(shadow, shadow.path_mm, grid, nipple_row_mm) > shadow.radius / 3
