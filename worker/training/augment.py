"""Random windows of prepared views, turned, scaled and re-windowed alike for image and mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from worker.exam.pixels import BRIGHTEST, OUTSIDE


@dataclass(frozen=True)
class Strength:
    """How far a window may differ from its source: factors, degrees, robust units."""

    scale: float = 1.25
    degrees: float = 12.0
    contrast: float = 1.25
    brightness: float = 0.2
    noise: float = 0.15
    shear: float = 0.08


def window(
    image: npt.NDArray[np.floating],
    centre: tuple[float, float],
    span: tuple[float, float],
    size: tuple[int, int],
    rng: np.random.Generator,
    strength: Strength,
) -> tuple[Tensor, Tensor]:
    """A window of ``image`` (C, H, W) as ``size`` pixels, and the grid that sampled it.

    ``centre`` (row, column) and ``span`` (rows, columns) are in pixels of ``image`` before the
    random turn, scale, shear and vertical mirror; the chest wall stays on its side. The
    grid (1, h, w, 2) samples a mask the same way, see ``same_window``.
    """
    H, W = image.shape[-2:]
    angle = np.deg2rad(rng.uniform(-strength.degrees, strength.degrees))
    zoom = np.exp(rng.uniform(-1, 1) * np.log(strength.scale))
    mirror = rng.choice([-1.0, 1.0])
    # Pixels of the image for each step of one output half, in (x, y) order.
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[1.0, rng.uniform(-strength.shear, strength.shear)], [0.0, 1.0]])
    steps = turn @ shear @ np.diag([span[1] / 2, mirror * span[0] / 2]) * zoom
    # affine_grid's coordinates run from -1 to 1 over the image's width and height.
    theta = np.zeros((2, 3))
    theta[:, :2] = steps / np.array([[W / 2], [H / 2]])
    theta[:, 2] = [2 * centre[1] / W - 1, 2 * centre[0] / H - 1]
    grid = functional.affine_grid(
        torch.from_numpy(theta[None]).float(), [1, 1, *size], align_corners=False
    )
    source = torch.from_numpy(image.astype(np.float32)) - OUTSIDE
    sampled = functional.grid_sample(source[None], grid, align_corners=False)[0] + OUTSIDE
    return _rewindowed(sampled, rng, strength), grid


def same_window(mask: npt.NDArray[np.bool_], grid: Tensor) -> Tensor:
    """A mask (H, W) in the window that ``grid`` describes: (1, h, w) of 0 and 1."""
    source = torch.from_numpy(mask.astype(np.float32))[None, None]
    return (functional.grid_sample(source, grid, align_corners=False)[0] >= 0.5).float()  # noqa: PLR2004 - half


def _rewindowed(sampled: Tensor, rng: np.random.Generator, strength: Strength) -> Tensor:
    """Contrast, brightness and noise of each energy for itself; what is not breast stays so."""
    channels = sampled.shape[0]
    inside = sampled > OUTSIDE + 1e-3
    gain = np.exp(rng.uniform(-1, 1, channels) * np.log(strength.contrast))
    shift = rng.uniform(-strength.brightness, strength.brightness, channels)
    noise = rng.standard_normal(sampled.shape, dtype=np.float32) * np.float32(
        rng.uniform(0, strength.noise)
    )
    gains = torch.from_numpy(gain).float()[:, None, None]
    shifts = torch.from_numpy(shift).float()[:, None, None]
    changed = (sampled * gains + shifts + torch.from_numpy(noise)).clamp(OUTSIDE, BRIGHTEST)
    return torch.where(inside, changed, sampled)
