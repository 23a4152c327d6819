"""Residual networks (He 2016) as feature pyramids, with torchvision's parameter names."""

from __future__ import annotations

from torch import Tensor, nn

# Blocks a stage, and whether a block is a bottleneck (He et al. 2016, table 1).
DEPTHS: dict[int, tuple[tuple[int, int, int, int], bool]] = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around an identity: ResNet-18, ResNet-34."""

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) → (N, planes, h/stride, w/stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + identity)  # type: ignore[no-any-return]  # modules return Any


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 around an identity: ResNet-50, ResNet-101. The stride is on the 3x3."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, planes * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) → (N, 4 planes, h/stride, w/stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + identity)  # type: ignore[no-any-return]  # modules return Any


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """Projection where a block changes the size, else None (He et al. 2016, option B)."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """ResNet without its classifier: returns the maps at 1/4, 1/8, 1/16 and 1/32.

    ``width`` is the number of planes of the first stage (64 in the paper).
    """

    def __init__(self, depth: int, *, width: int = 64, in_channels: int = 3) -> None:
        super().__init__()
        counts, deep = DEPTHS[depth]
        block: type[BasicBlock | Bottleneck] = Bottleneck if deep else BasicBlock
        self.conv1 = nn.Conv2d(in_channels, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.channels = [width * 2**i * block.expansion for i in range(4)]
        stages = []
        inputs = width
        for i, count in enumerate(counts):
            planes, stride = width * 2**i, 1 if i == 0 else 2
            blocks = [block(inputs, planes, stride)]
            inputs = planes * block.expansion
            blocks += [block(inputs, planes, 1) for _ in range(count - 1)]
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, in_channels, H, W) → C1 … C4, of 1/4 to 1/32 of the size."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (N, width, H/4, W/4)
        c1 = self.layer1(x)
        c2 = self.layer2(c1)
        c3 = self.layer3(c2)
        c4 = self.layer4(c3)
        return c1, c2, c3, c4
