"""Heat lies where the network looked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from worker.faps.crop import Cells, Square
from worker.faps.efficientnet import EfficientNetLite
from worker.faps.heatmap import on_grid
from worker.faps.xception_ppm import Xception

GRID = (96, 64)
SQUARE = Square(top=10, left=4, side=40)


@pytest.mark.parametrize("cells", [Cells(first=0, step=16), Cells(first=7, step=16)])
def test_a_heat_map_peaks_where_the_cell_looks(cells: Cells):
    activation = torch.full((5, 5), -1.0)
    activation[2, 3] = 2.0
    heat = on_grid(activation, cells, 80, SQUARE, GRID)  # a crop of 80 pixels, 40 on the grid
    row, column = np.unravel_index(int(heat.argmax()), GRID)
    assert row == pytest.approx(10 + (cells.first + 2 * 16) / 2, abs=0.5)
    assert column == pytest.approx(4 + (cells.first + 3 * 16) / 2, abs=0.5)


def test_what_speaks_for_benign_stays_dark():
    heat = on_grid(torch.full((4, 4), -1.0), Cells(first=0, step=16), 64, SQUARE, GRID)
    assert float(heat.max()) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Xception(width=0.1, in_channels=1),
        lambda: EfficientNetLite(in_channels=1),
        lambda: EfficientNetLite(in_channels=1, stages=5),
    ],
    ids=["xception", "lite", "short lite"],
)
def test_cells_of_a_mirrored_image_are_the_mirrored_cells(make):
    """With mirrored kernels that holds only if the first and the last cell are as far in."""
    torch.manual_seed(1)
    trunk = symmetric(make()).eval()
    cells, count = trunk.cells, 4
    size = 2 * cells.first + cells.step * (count - 1) + 1
    image = torch.randn(1, 1, size, size)
    seen, mirrored = (last(trunk(one)) for one in (image, image.flip((-2, -1))))
    assert seen.shape[-2:] == (count, count)
    torch.testing.assert_close(mirrored.flip((-2, -1)), seen)
    # One pixel more on one side, and it does not.
    wider = torch.nn.functional.pad(image, (0, 1, 0, 1))
    seen, mirrored = (last(trunk(one)) for one in (wider, wider.flip((-2, -1))))
    assert not torch.allclose(mirrored.flip((-2, -1)), seen)


@torch.no_grad()
def symmetric(trunk: nn.Module) -> nn.Module:
    """The trunk with kernels that are their own mirror images."""
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.add_(module.weight.flip((-2, -1)).clone())
    return trunk


def last(maps: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    return maps if isinstance(maps, torch.Tensor) else maps[-1]
