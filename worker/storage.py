"""Weights in a file: as they are, as fp16, or as int8 with a scale for each output channel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

State = Mapping[str, Tensor]
SCALE = ".scale"
SMALLEST = 1024  # numbers of a tensor that is worth its scales


def stored(state: State, *, exact: bool = False, small: bool = False) -> dict[str, Tensor]:
    """A state dict as it goes into a file, each tensor in memory of its own.

    fp16, or as it is where ``exact``. Where ``small``, weights of convolutions and linear layers
    are rounded to 127 steps either way of each output channel's largest; the rest stays fp16.
    """
    files: dict[str, Tensor] = {}
    for name, tensor in state.items():
        t = tensor.detach().cpu()
        if small and t.is_floating_point() and t.dim() > 1 and t.numel() >= SMALLEST:
            scale = t.float().flatten(1).abs().amax(dim=1).clamp(min=1e-12) / 127
            steps = (t.float() / _beside(scale, t)).round().to(torch.int8)
            files[name], files[name + SCALE] = steps.contiguous(), scale.contiguous()
        else:
            kept = t if exact or not t.is_floating_point() else t.half()
            files[name] = kept.contiguous().clone()
    return files


def widened(files: State) -> dict[str, Tensor]:
    """What ``stored`` made, as the fp32 numbers that are computed with."""
    state: dict[str, Tensor] = {}
    for name, tensor in files.items():
        scale = files.get(name + SCALE)
        if scale is not None:
            state[name] = tensor.float() * _beside(scale, tensor)
        elif not (name.endswith(SCALE) and name.removesuffix(SCALE) in files):
            state[name] = tensor.float() if tensor.is_floating_point() else tensor
    return state


def read(path: Path) -> dict[str, Tensor]:
    """The state dict of a safetensors file, in fp32."""
    return widened(load_file(path))


def _beside(scale: Tensor, tensor: Tensor) -> Tensor:
    return scale.reshape(-1, *[1] * (tensor.dim() - 1))
