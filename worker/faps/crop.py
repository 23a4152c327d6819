"""The square around a lesion that the classifier looks at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Square:
    """A square of network pixels; it may reach over the grid's edge."""

    top: int
    left: int
    side: int


@dataclass(frozen=True)
class Cells:
    """Which pixels of a crop the cells of a network's last maps look at.

    The cell of index i has pixel ``first + step * i`` in its middle. That need not be the middle of
    an i-th share of the crop: it depends on how the network pads what it strides over.
    """

    first: int
    step: int


@dataclass(frozen=True)
class CropRule:
    """How a crop is chosen; part of the bundle's input contract.

    ``margin`` is the side over the lesion's longer box side, ``smallest`` the least side in network
    pixels, ``size`` the side in pixels after resampling, ``outside`` the value beyond the grid.
    """

    size: int
    margin: float
    smallest: int
    outside: float


def square_around(
    lesion: npt.NDArray[np.float32] | npt.NDArray[np.bool_], rule: CropRule, threshold: float = 0.5
) -> Square:
    """Square around the largest component of a mask or probability (H, W) at ``threshold``.

    A map that stays below ``threshold`` gives the smallest square around its maximum.
    """
    labels, count = ndimage.label(lesion >= threshold)
    if count == 0:
        row, column = np.unravel_index(int(np.argmax(lesion)), lesion.shape)
        return square_at(float(row), float(column), rule.smallest)
    sizes = np.bincount(labels.ravel())
    rows, columns = ndimage.find_objects(labels)[int(sizes[1:].argmax())]
    longer = max(rows.stop - rows.start, columns.stop - columns.start)
    side = min(max(round(rule.margin * longer), rule.smallest), max(lesion.shape))
    return square_at((rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2, side)


def square_at(row: float, column: float, side: int) -> Square:
    """Square of ``side`` network pixels centred on (row, column)."""
    return Square(top=round(row - side / 2), left=round(column - side / 2), side=side)


def cut(image: Tensor, square: Square, rule: CropRule) -> Tensor:
    """The square of ``image`` (C, H, W), resampled to (C, size, size)."""
    H, W = image.shape[-2:]
    bottom, right = square.top + square.side, square.left + square.side
    inner = image[:, max(square.top, 0) : max(bottom, 0), max(square.left, 0) : max(right, 0)]
    beyond = (max(-square.left, 0), max(right - W, 0), max(-square.top, 0), max(bottom - H, 0))
    padded = functional.pad(inner, beyond, value=rule.outside)[None]
    return functional.interpolate(
        padded, size=(rule.size, rule.size), mode="bilinear", align_corners=False, antialias=True
    )[0]
