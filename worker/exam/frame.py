"""The exact map between an image as stored (source grid) and the network's grid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from worker.contracts import FloatImage, Frame

Points = npt.NDArray[np.float64]  # (N, 2): (x, y) = (column, row), corner origin as in PS3.3 C.18.6
NOTHING = 1e-9  # share of a pixel that is rounding alone
Box = tuple[int, int, int, int]  # top, left, bottom, right in source pixels, half-open


def to_source(frame: Frame, points: Points) -> Points:
    """Network points (N, 2) as (column, row) points of the source grid.

    The crop box counts stored pixels. A flipped frame therefore counts from its right edge:
    ``source_x = right - (x - pad_x) / scale``, which is the contract's formula after the mirror.
    """
    x = (points[:, 0] - frame.pad_x) / frame.scale
    y = (points[:, 1] - frame.pad_y) / frame.scale
    source_x = frame.right - x if frame.flipped else frame.left + x
    return np.stack([source_x, frame.top + y], axis=1)


def to_network(frame: Frame, points: Points) -> Points:
    """Source points (N, 2) as (x, y) points of the network grid: the inverse of ``to_source``."""
    x = frame.right - points[:, 0] if frame.flipped else points[:, 0] - frame.left
    y = points[:, 1] - frame.top
    return np.stack([x * frame.scale + frame.pad_x, y * frame.scale + frame.pad_y], axis=1)


def fit(source_shape: tuple[int, int], box: Box, grid: tuple[int, int], *, flipped: bool) -> Frame:
    """Frame that shows ``box`` as large as ``grid`` (H, W) allows, the chest wall at x = 0.

    The aspect is kept. The breast is centred vertically and never horizontally: the chest wall
    stays on the grid's edge as it stays on the detector's.
    """
    top, left, bottom, right = box
    height, width = bottom - top, right - left
    scale = min(grid[0] / height, grid[1] / width)
    return Frame(
        source_shape=source_shape,
        network_shape=grid,
        top=top,
        left=left,
        bottom=bottom,
        right=right,
        scale=scale,
        pad_x=0.0,
        pad_y=(grid[0] - height * scale) / 2,
        flipped=flipped,
    )


def to_grid(frame: Frame, pixels: npt.NDArray[np.generic]) -> FloatImage:
    """Source array (rows, columns) on the network grid (H, W) by exact area averaging.

    Network pixels that see nothing of the crop are 0.
    """
    H, W = frame.network_shape
    step = 1 / frame.scale
    rows = _weights(H, frame.bottom - frame.top, -frame.pad_y * step, step)
    # A mirrored grid is computed from its far end: the small result is turned, not the source.
    width = frame.right - frame.left
    start = width - (W - frame.pad_x) * step if frame.flipped else -frame.pad_x * step
    columns = _weights(W, width, start, step)
    # Whole rows are one block of memory; cutting the columns first would copy the image.
    reduced = (rows @ pixels[frame.top : frame.bottom])[:, frame.left : frame.right]  # (H, width)
    grid = (columns @ reduced.T).T
    return np.ascontiguousarray(grid[:, ::-1] if frame.flipped else grid, dtype=np.float32)


def map_to_source(frame: Frame, network_array: npt.NDArray[np.generic]) -> FloatImage:
    """Network array (H, W) on the whole source grid, bilinear inside the crop and 0 outside it."""
    full = np.zeros(frame.source_shape, dtype=np.float32)
    box = (frame.top, frame.left, frame.bottom, frame.right)
    full[box[0] : box[2], box[1] : box[3]] = patch_on_source(frame, network_array, box)
    return full


def patch_on_source(frame: Frame, network_array: npt.NDArray[np.generic], box: Box) -> FloatImage:
    """The part ``box`` of ``map_to_source``, which lies inside the crop, for its own cost only."""
    top, left, bottom, right = box
    H, W = frame.network_shape
    start_y = (top - frame.top) * frame.scale + frame.pad_y
    offset = frame.right - right if frame.flipped else left - frame.left
    start_x = offset * frame.scale + frame.pad_x
    rows = _weights(bottom - top, H, start_y, frame.scale)
    columns = _weights(right - left, W, start_x, frame.scale)
    wide = (columns @ network_array.astype(np.float32, copy=False).T).T  # (H, width)
    patch = rows @ np.ascontiguousarray(wide[:, ::-1] if frame.flipped else wide)
    return np.asarray(patch, dtype=np.float32)


def _weights(outputs: int, inputs: int, start: float, step: float) -> sparse.csr_array:
    """Matrix (outputs, inputs) that averages ``[start + i*step, start + (i+1)*step)`` of a line.

    Windows narrower than one input pixel are widened to one, which is linear interpolation: the
    same matrix shrinks and enlarges. Rows that lie outside the line are empty, rows that
    partly do are normalised to what they see.
    """
    centre = start + (np.arange(outputs) + 0.5) * step
    half = max(step, 1.0) / 2
    low, high = centre - half, centre + half
    reach = int(np.ceil(2 * half)) + 1
    index = np.floor(low).astype(np.int64)[:, None] + np.arange(reach)  # (outputs, reach)
    weight = np.minimum(high[:, None], index + 1) - np.maximum(low[:, None], index)
    seen = (weight > NOTHING) & (index >= 0) & (index < inputs)
    weight = np.where(seen, weight, 0.0)
    total = weight.sum(axis=1, keepdims=True)
    weight /= np.where(total > 0, total, 1.0)
    rows = np.broadcast_to(np.arange(outputs)[:, None], index.shape)
    return sparse.csr_array(
        (weight[seen].astype(np.float32), (rows[seen], index[seen])), shape=(outputs, inputs)
    )
