"""RefineNet (Lin 2017) in four cascaded blocks, with its light-weight form (Nekrasov 2018)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.faps.efficientnet import EfficientNetLite
from worker.faps.resnet import ResNet

Backbone = Literal["resnet", "efficientnet-lite0"]
Decoder = Literal["normal", "light"]
Head = Literal["quarter", "full"]
STRIP = 128  # rows of the full head at a time


def _conv3(inputs: int, outputs: int, *, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)


def _conv1(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def _enlarge(x: Tensor, like: Tensor) -> Tensor:
    """``x`` on the grid of ``like``; RefineNet interpolates corner to corner."""
    return functional.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)


class RCU(nn.Module):
    """Residual convolution unit: ReLU, 3x3, ReLU, 3x3, added to its input (Lin 2017, fig. 3b)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = _conv3(features, features, bias=True)
        self.conv2 = _conv3(features, features)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, h, w) → the same shape."""
        return x + self.conv2(functional.relu(self.conv1(functional.relu(x))))  # type: ignore[no-any-return]


class CRP(nn.Module):
    """Chained residual pooling: four times 5x5 max-pool and convolution, all added (fig. 3d)."""

    def __init__(self, features: int, decoder: Decoder, stages: int = 4) -> None:
        super().__init__()
        make = _conv3 if decoder == "normal" else _conv1
        self.convs = nn.ModuleList(make(features, features) for _ in range(stages))
        self.pool = nn.MaxPool2d(5, 1, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, h, w) → the same shape."""
        total = path = functional.relu(x)
        for conv in self.convs:
            path = conv(self.pool(path))
            total = total + path
        return total


class RefineBlock(nn.Module):
    """Adaptive RCUs, fusion, chained pooling, output RCU (fig. 3a); input 0 is the finer one."""

    def __init__(self, inputs: tuple[int, ...], features: int) -> None:
        super().__init__()
        self.rcu = nn.ModuleList(nn.Sequential(RCU(c), RCU(c)) for c in inputs)
        # The first block has one input and nothing to fuse.
        several = len(inputs) > 1
        self.resolve = nn.ModuleList(_conv3(c, features) for c in inputs if several)
        self.crp = CRP(features, "normal")
        self.output = RCU(features)

    def forward(self, *xs: Tensor) -> Tensor:
        """Maps of falling size → (N, features, h, w) on the grid of the first."""
        ys = [rcu(x) for rcu, x in zip(self.rcu, xs, strict=True)]
        if self.resolve:
            ys = [resolve(y) for resolve, y in zip(self.resolve, ys, strict=True)]
        total = ys[0]
        for y in ys[1:]:
            total = total + _enlarge(y, total)
        return self.output(self.crp(total))  # type: ignore[no-any-return]


class LightBlock(nn.Module):
    """Light-weight block: 1x1 adaptation, sum, chained pooling with 1x1, 1x1 to the next width."""

    def __init__(self, features: int, outputs: int | None) -> None:
        super().__init__()
        self.adapt = _conv1(features, features)
        self.crp = CRP(features, "light")
        self.join = None if outputs is None else _conv1(features, outputs)

    def forward(self, x: Tensor, coarser: Tensor) -> Tensor:
        """``x`` (N, features, h, w) and what the coarser block handed up → (N, outputs, h, w)."""
        y = self.crp(functional.relu(self.adapt(x) + _enlarge(coarser, x)))
        return y if self.join is None else self.join(y)  # type: ignore[no-any-return]


class NormalDecoder(nn.Module):
    """Four RefineNet blocks over C1 … C4, the deepest at twice the width."""

    def __init__(self, channels: list[int], features: int) -> None:
        super().__init__()
        widths = (features, features, features, 2 * features)
        self.adapters = nn.ModuleList(_conv3(c, w) for c, w in zip(channels, widths, strict=True))
        self.block4 = RefineBlock((2 * features,), 2 * features)
        self.block3 = RefineBlock((features, 2 * features), features)
        self.block2 = RefineBlock((features, features), features)
        self.block1 = RefineBlock((features, features), features)

    def forward(self, *taps: Tensor) -> Tensor:
        """C1 … C4 → (N, features, H/4, W/4)."""
        c1, c2, c3, c4 = (adapt(c) for adapt, c in zip(self.adapters, taps, strict=True))
        path = self.block3(c3, self.block4(c4))
        return self.block1(c1, self.block2(c2, path))  # type: ignore[no-any-return]


class LightDecoder(nn.Module):
    """The same cascade with every 3x3 as 1x1 and without RCUs."""

    def __init__(self, channels: list[int], features: int) -> None:
        super().__init__()
        widths = (features, features, features, 2 * features)
        self.adapters = nn.ModuleList(_conv1(c, w) for c, w in zip(channels, widths, strict=True))
        self.crp4 = CRP(2 * features, "light")
        self.join4 = _conv1(2 * features, features)
        self.block3 = LightBlock(features, features)
        self.block2 = LightBlock(features, features)
        self.block1 = LightBlock(features, None)

    def forward(self, *taps: Tensor) -> Tensor:
        """C1 … C4 → (N, features, H/4, W/4)."""
        c1, c2, c3, c4 = (adapt(c) for adapt, c in zip(self.adapters, taps, strict=True))
        path = self.join4(self.crp4(functional.relu(c4)))
        path = self.block3(c3, path)
        return self.block1(c1, self.block2(c2, path))  # type: ignore[no-any-return]


class RefineNet(nn.Module):
    """ResNet trunk, RefineNet decoder, lesion logit.

    ``backbone="efficientnet-lite0"`` puts a trunk under it that has no ``depth`` and no ``width``.

    ``head="quarter"`` classifies at 1/4 of the size, as the paper does; ``"full"`` enlarges the
    features four times before the head, as the FAPS authors do. They are different functions: a
    bundle records which one its weights were trained with.
    """

    def __init__(
        self,
        depth: int | None = None,
        *,
        width: int = 64,
        features: int = 256,
        decoder: Decoder = "normal",
        head: Head = "quarter",
        in_channels: int = 3,
        backbone: Backbone = "resnet",
    ) -> None:
        super().__init__()
        if backbone == "efficientnet-lite0":
            self.trunk: ResNet | EfficientNetLite = EfficientNetLite(in_channels=in_channels)
        elif depth is not None:
            self.trunk = ResNet(depth, width=width, in_channels=in_channels)
        else:
            raise ValueError(f"depth of a {backbone} trunk")
        self.full = head == "full"
        if decoder == "normal":
            self.decoder: nn.Module = NormalDecoder(self.trunk.channels, features)
            self.head: nn.Module = nn.Sequential(
                RCU(features), RCU(features), nn.Conv2d(features, 1, 1)
            )
        else:
            self.decoder = LightDecoder(self.trunk.channels, features)
            self.head = _conv3(features, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) → logits (N, 1, H/4, W/4), or (N, 1, H, W) with the full head."""
        path = self.decoder(*self.trunk(x))
        if not self.full:
            return self.head(path)  # type: ignore[no-any-return]
        path = functional.interpolate(path, scale_factor=4, mode="bilinear", align_corners=True)
        return self.head(path) if torch.is_grad_enabled() else self._in_strips(path)

    def _in_strips(self, path: Tensor) -> Tensor:
        """The full head, a strip of rows at a time: the same numbers in a fraction of the memory.

        Rows beyond a strip's edge are computed too, as many as the head's convolutions look
        around, so that only the image's own edges are padded.
        """
        look = sum(isinstance(m, nn.Conv2d) and m.kernel_size[0] > 1 for m in self.head.modules())
        rows = path.shape[-2]
        strips = []
        for top in range(0, rows, STRIP):
            bottom = min(top + STRIP, rows)
            first, last = max(top - look, 0), min(bottom + look, rows)
            strip = self.head(path[..., first:last, :])
            strips.append(strip[..., top - first : bottom - first, :])
        return torch.cat(strips, dim=-2)
