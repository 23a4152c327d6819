"""Xception (Chollet 2017) with pyramid pooling (Zhao 2017) over two energies of several views."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.faps.crop import Cells
from worker.faps.efficientnet import STAGES, EfficientNetLite

Backbone = Literal["xception", "efficientnet-lite0"]
Pyramid = Literal["faps", "semseg"]
BINS = (1, 2, 3, 6)
FAPS_BOTTLENECK = 3069  # channels after the FAPS form of the pyramid, at full width


class SeparableConv(nn.Module):
    """Depthwise 3x3 then pointwise 1x1 (Chollet 2017, section 3)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) → (N, outputs, h, w)."""
        return self.pointwise(self.conv1(x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Separable convolutions around a shortcut; ``grow_first`` widens at the first of them."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        count: int,
        stride: int,
        relu_first: bool = True,
        grow_first: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        wide = inputs
        for i in range(count):
            nxt = outputs if grow_first or i == count - 1 else inputs
            if i > 0 or relu_first:
                layers.append(
                    nn.ReLU(inplace=i > 0)
                )  # the first would overwrite the shortcut's input
            layers += [SeparableConv(wide, nxt), nn.BatchNorm2d(nxt)]
            wide = nxt
        if stride != 1:
            layers.append(nn.MaxPool2d(3, stride, padding=1))
        self.rep = nn.Sequential(*layers)
        projected = inputs != outputs or stride != 1
        self.skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if projected else None
        self.skipbn = nn.BatchNorm2d(outputs) if projected else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) → (N, outputs, h/stride, w/stride)."""
        shortcut = x
        if self.skip is not None and self.skipbn is not None:
            shortcut = self.skipbn(self.skip(x))
        return self.rep(x) + shortcut  # type: ignore[no-any-return]


class Xception(nn.Module):
    """Entry, middle and exit flow (Chollet 2017, fig. 5), every width multiplied by ``width``."""

    def __init__(self, *, width: float = 1.0, in_channels: int = 3) -> None:
        super().__init__()
        w32, w64, w128, w256, w728, w1024, w1536, w2048 = (
            max(8, round(c * width)) for c in (32, 64, 128, 256, 728, 1024, 1536, 2048)
        )
        self.conv1 = nn.Conv2d(in_channels, w32, 3, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(w32)
        self.conv2 = nn.Conv2d(w32, w64, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(w64)
        blocks = [
            Block(w64, w128, count=2, stride=2, relu_first=False),
            Block(w128, w256, count=2, stride=2),
            Block(w256, w728, count=2, stride=2),
            *(Block(w728, w728, count=3, stride=1) for _ in range(8)),
            Block(w728, w1024, count=2, stride=2, grow_first=False),
        ]
        for number, block in enumerate(blocks, start=1):  # named as published checkpoints name them
            self.add_module(f"block{number}", block)
        self.conv3 = SeparableConv(w1024, w1536)
        self.bn3 = nn.BatchNorm2d(w1536)
        self.conv4 = SeparableConv(w1536, w2048)
        self.bn4 = nn.BatchNorm2d(w2048)
        self.channels = w2048
        self.depth = len(blocks)
        # conv1 and conv2 take a pixel off each edge, of the image and of its half; the rest pads.
        self.cells = Cells(first=3, step=32)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, channels, H/32, W/32)."""
        x = functional.relu(self.bn1(self.conv1(x)))  # (N, 32, H/2, W/2)
        x = functional.relu(self.bn2(self.conv2(x)))  # (N, 64, H/2, W/2)
        for number in range(1, self.depth + 1):
            x = self.get_submodule(f"block{number}")(x)
        x = functional.relu(self.bn3(self.conv3(x)))
        return functional.relu(self.bn4(self.conv4(x)))


class PPM(nn.Module):
    """Pyramid pooling: means over 1, 4, 9 and 36 cells beside the map itself.

    ``"semseg"`` (Zhao 2017): each bin to a quarter of the channels with BN, concatenated.
    ``"faps"``: each bin at full width without BN, concatenated, then a 1x1 bottleneck.
    """

    def __init__(self, channels: int, form: Pyramid, *, bottleneck: int = FAPS_BOTTLENECK) -> None:
        super().__init__()
        self.form = form
        if form == "semseg":
            thin = channels // len(BINS)
            self.stages = nn.ModuleList(
                nn.Sequential(
                    nn.AdaptiveAvgPool2d(b),
                    nn.Conv2d(channels, thin, 1, bias=False),
                    nn.BatchNorm2d(thin),
                    nn.ReLU(inplace=True),
                )
                for b in BINS
            )
            self.bottleneck: nn.Module = nn.Identity()
            self.channels = channels + thin * len(BINS)
        else:
            self.stages = nn.ModuleList(
                nn.Sequential(nn.AdaptiveAvgPool2d(b), nn.Conv2d(channels, channels, 1, bias=False))
                for b in BINS
            )
            self.bottleneck = nn.Sequential(
                nn.Conv2d(channels * (len(BINS) + 1), bottleneck, 1), nn.ReLU(), nn.Dropout2d(0.1)
            )
            self.channels = bottleneck

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) → (N, channels, h, w)."""
        corners = self.form == "semseg"
        pooled = [
            functional.interpolate(
                stage(x), size=x.shape[-2:], mode="bilinear", align_corners=corners
            )
            for stage in self.stages
        ]
        ordered = [x, *pooled] if corners else [*pooled, x]
        return self.bottleneck(torch.cat(ordered, dim=1))  # type: ignore[no-any-return]


class FapsClassifier(nn.Module):
    """One trunk for both energies; low_energy ‖ recombined → mean → Linear; mean over views.

    A missing view is left out of the mean, which is exact. With ``energies`` of one
    nothing is concatenated. ``stages`` shortens an EfficientNet: few women are learnt by heart by
    a large one.
    """

    def __init__(
        self,
        *,
        width: float = 1.0,
        pyramid: Pyramid = "faps",
        energies: int = 2,
        in_channels: int = 3,
        backbone: Backbone = "xception",
        dropout: float = 0.0,
        stages: int = len(STAGES),
    ) -> None:
        super().__init__()
        trunk = (
            Xception(width=width, in_channels=in_channels)
            if backbone == "xception"
            else EfficientNetLite(in_channels=in_channels, stages=stages)
        )
        bottleneck = max(8, round(FAPS_BOTTLENECK * width))
        self.trunk: nn.Module = trunk
        self.cells = trunk.cells
        widths = trunk.channels
        last = widths if isinstance(widths, int) else widths[-1]
        self.ppm = PPM(last, pyramid, bottleneck=bottleneck)
        self.dropout = nn.Dropout(dropout)
        self.energies = energies
        self.in_channels = in_channels
        self.fc = nn.Linear(self.ppm.channels * energies, 2)

    def without_trunk(self) -> FapsClassifier:
        """A classifier that shares every other part with this one."""
        twin = copy.copy(self)
        twin._modules = {k: m for k, m in self._modules.items() if k != "trunk"}  # noqa: SLF001 - its own
        return twin

    @property
    def weight(self) -> Tensor:
        """Weights (2, energies * C) from the maps' means to the logits."""
        return self.fc.weight

    def pyramid(self, images: Tensor) -> Tensor:
        """Images (N, in_channels, S, S), whatever their energy → pyramid maps (N, C, s, s)."""
        maps = self.trunk(images.contiguous(memory_format=torch.channels_last))
        return self.ppm(maps if isinstance(maps, Tensor) else maps[-1])  # type: ignore[no-any-return]

    def features(self, crops: Tensor, present: Tensor | None = None) -> Tensor:
        """Crops (N, energies, S, S) → last pyramid maps (N, energies, C, s, s).

        ``present`` (N, energies) of 0 and 1: an energy that is not there contributes nothing.
        """
        n, energies, size, _ = crops.shape
        flat = crops.reshape(n * energies, 1, size, size)
        # What is not there is not computed, and does not move the batch statistics either.
        there = None if present is None else present.flatten().nonzero()[:, 0]
        seen = flat if there is None else flat[there]
        maps = self.pyramid(seen.expand(-1, self.in_channels, -1, -1))
        if there is not None:
            maps = maps.new_zeros(n * energies, *maps.shape[1:]).index_copy(0, there, maps)
        return maps.reshape(n, energies, *maps.shape[1:])

    def logits(self, maps: Tensor) -> Tensor:
        """Maps (N, energies, C, s, s) → logits (N, 2) of each view: benign, malignant."""
        return self.fc(self.dropout(maps.mean(dim=(-2, -1)).flatten(1)))  # type: ignore[no-any-return]

    def forward(self, crops: Tensor, present: Tensor | None = None) -> Tensor:
        """Crops (N, views, energies, S, S) of views that are there → logits (N, 2)."""
        n, views = crops.shape[:2]
        flags = None if present is None else present.flatten(0, 1)
        each = self.logits(self.features(crops.flatten(0, 1), flags))
        return each.reshape(n, views, 2).mean(dim=1)
