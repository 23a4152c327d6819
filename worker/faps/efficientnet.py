"""EfficientNet-Lite0 (Tan 2019, without squeeze-and-excitation) as a feature pyramid."""

from __future__ import annotations

import math
from typing import NamedTuple, Self

from torch import Tensor, nn

from worker.faps.crop import Cells

STEM = 32
EPSILON = 1e-3  # of batch normalisation, as its weights were trained


class Stage(NamedTuple):
    """Inverted residuals of one width (Tan & Le 2019, table 1)."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    outputs: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
TAPS = (1, 2, 4, 6)  # the last stages at 1/4, 1/8, 1/16 and 1/32


class Unit(nn.Sequential):
    """Convolution and batch normalisation; ReLU6 but after a block's last."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        active: bool = True,
    ) -> None:
        conv = nn.Conv2d(
            inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False
        )
        layers = [conv, nn.BatchNorm2d(outputs, eps=EPSILON)]
        super().__init__(*layers, *([nn.ReLU6(inplace=True)] if active else []))


class InvertedResidual(nn.Module):
    """1x1 to ``expand`` times the width, depthwise, 1x1 back, around an identity where one fits."""

    def __init__(self, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        wide = inputs * stage.expand
        self.expand = None if stage.expand == 1 else Unit(inputs, wide)
        self.depthwise = Unit(wide, wide, stage.kernel, stride, groups=wide)
        self.project = Unit(wide, stage.outputs, active=False)
        self.identity = stride == 1 and inputs == stage.outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) → (N, outputs, h/stride, w/stride)."""
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.identity else y  # type: ignore[no-any-return]  # modules return Any


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite0 without its head: returns the maps at 1/4, 1/8, 1/16 and 1/32.

    With fewer ``stages`` it ends early, at 1/16 after five. Strided convolutions are padded on both
    sides alike, TensorFlow pads the far one alone: the same function of an image moved by a pixel.
    """

    def __init__(self, *, in_channels: int = 3, stages: int = len(STAGES)) -> None:
        super().__init__()
        taps = [tap for tap in TAPS if tap < stages]
        self.stem = Unit(in_channels, STEM, 3, 2)
        self.channels = [STAGES[tap].outputs for tap in taps]
        self.blocks = nn.ModuleList()
        self._fixed: list[nn.Module] = []  # see ``fix``
        # Padded alike on both sides, a strided convolution begins on the very first pixel.
        strides = [stage.stride for stage in STAGES[: taps[-1] + 1]]
        self.cells = Cells(first=0, step=2 * math.prod(strides))
        self.taps: list[int] = []  # numbers of the blocks whose maps are returned
        inputs = STEM
        for number, stage in enumerate(STAGES[: taps[-1] + 1]):
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                self.blocks.append(InvertedResidual(inputs, stage, stride))
                inputs = stage.outputs
            if number in taps:
                self.taps.append(len(self.blocks) - 1)

    def fix(self, stages: int) -> None:
        """Keep the stem and the first stages as they are, batch statistics included."""
        blocks = list(self.blocks)[: sum(stage.repeats for stage in STAGES[:stages])]
        self._fixed = [self.stem, *blocks]
        for module in self._fixed:
            module.requires_grad_(requires_grad=False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's own signature
        """As every module, but for what is fixed."""
        super().train(mode)
        for module in self._fixed:
            module.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, in_channels, H, W) → C1 … C4, of 1/4 to 1/32 of the size."""
        x = self.stem(x)
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.taps:
                maps.append(x)
        return tuple(maps)
