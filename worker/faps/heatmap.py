"""Where in the crop the malignancy logit comes from."""

from __future__ import annotations

import torch
from torch import Tensor

from worker.faps.crop import Cells, Square

RIM = 0.15  # of a crop's side: the map fades to 0 there instead of ending at a square's edge


def activation_map(maps: Tensor, weight: Tensor) -> Tensor:
    """Class activation (s, s) of the malignancy logit minus the benign one.

    Between the pyramid's maps (energies, C, s, s) and the logits stand only a mean and a linear
    layer ``weight`` (2, energies * C). The gradient of the logit is then the same everywhere, so
    this sum is Grad-CAM (Selvaraju 2017, section 3.1) up to a constant, without a backward pass.
    """
    energies, channels = maps.shape[:2]
    contrast = (weight[1] - weight[0]).reshape(energies, channels)
    return torch.einsum("ec,ecij->ij", contrast, maps)


def on_grid(
    activation: Tensor, cells: Cells, size: int, square: Square, grid: tuple[int, int]
) -> Tensor:
    """Activation (s, s) of a crop as heat map (H, W) in [0, 1] on the network grid of its view.

    ``size`` is the crop's side in pixels. Each cell's heat is put where the cell looks, bilinear
    between cells, and ends a step beyond the last. Only what speaks for malignancy is kept. The
    scale is the strongest activation of either sign: the map of a plainly benign lesion stays dark.
    """
    strongest = activation.abs().max().clamp_min(1e-12)
    positive = (activation / strongest).clamp_min(0)
    pixels = (torch.arange(square.side) + 0.5) * size / square.side - 0.5  # of the crop
    at = (pixels - cells.first) / cells.step
    share = (1 - (at[:, None] - torch.arange(len(activation))).abs()).clamp_min(0)  # (side, s)
    heat = share @ positive @ share.T
    fade = ((torch.arange(square.side) + 0.5) / (RIM * square.side)).clamp(max=1)
    fade = fade * fade.flip(0)
    heat = heat * fade[:, None] * fade
    H, W = grid
    full = torch.zeros(H, W)
    top, left = max(square.top, 0), max(square.left, 0)
    bottom, right = min(square.top + square.side, H), min(square.left + square.side, W)
    full[top:bottom, left:right] = heat[
        top - square.top : bottom - square.top, left - square.left : right - square.left
    ]
    return full.clamp(0, 1)


def _between(at: Tensor, count: int) -> Tensor:
    """Matrix (positions, count) that interpolates linearly between ``count`` cells.

    Beyond the first and the last cell these are repeated.
    """
    low = at.clamp(0, count - 1)
    index = torch.arange(count)
    return (1 - (low[:, None] - index).abs()).clamp_min(0)
