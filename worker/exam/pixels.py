"""From a decoded pair of images to the network's input."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from scipy import ndimage

from dicom_node.errors import UnsuitableExam
from worker.contracts import FloatImage, Frame, Mask, PreparedView, SourceImage
from worker.exam.breast import Breast, chest_wall_right, closed_to_chest_wall, find_breast
from worker.exam.decode import Decompress, decode
from worker.exam.frame import fit, to_grid

GRID = (512, 288)  # (H, W) of the shipped networks: portrait, multiples of 32
OUTSIDE = -2.5  # value of everything that is not breast: the lower end of the clipped scale
BRIGHTEST = 5.0  # upper end; a strongly enhancing lesion reaches it, a metal clip goes no higher
BLOCK = 8  # network pixels a side of the cells in which the background is estimated
REACH = 3.5  # cells: standard deviation of the background's blur, about 13 mm in a usual breast
ORDINARY = 1.0  # what is brighter is taken as this in the background: a lesion is not background
WITHOUT_PIXELS = {0x7FE00010, 0x7FE00009, 0x7FE00008}  # Pixel Data, its double and float forms


def read_source(ds: Dataset, decompress: Decompress) -> SourceImage:
    """Decoded, polarity-normalised image: (rows, columns) float32, high = dense or enhancing.

    Padding (Pixel Padding Value and Range Limit, PS3.3 C.7.5.1.1.2) gets the lowest valid value.
    MONOCHROME1, or Presentation LUT Shape INVERSE, is turned over within the valid values.

    Raises
    ------
    PixelDecodeError
        See ``worker.exam.decode.decode``, also for ``decompress``.
    """
    stored = decode(ds, decompress)
    pixels = stored.astype(np.float32)
    padding = _padding(ds, stored)
    if padding is None:
        low, high = float(stored.min()), float(stored.max())
    else:
        valid = stored[~padding]
        low, high = (float(valid.min()), float(valid.max())) if valid.size else (0.0, 0.0)
    if _inverted(ds):
        np.subtract(np.float32(low + high), pixels, out=pixels)
    if padding is not None:
        pixels[padding] = low
    return SourceImage(ds=header_of(ds), pixels=pixels)


def header_of(ds: Dataset) -> Dataset:
    """The data set without its pixels, with its file meta information; ``ds`` stays as it is."""
    header = Dataset()
    # Element by element: raw ones taken over as they are would forget their character set.
    for tag in ds.keys():  # noqa: SIM118 - iterating over ds would read the pixels too
        if tag not in WITHOUT_PIXELS:
            header[tag] = ds[tag]
    if hasattr(ds, "file_meta"):
        header.file_meta = ds.file_meta
    return header


def prepare(
    low_energy: SourceImage, recombined: SourceImage, grid: tuple[int, int] = GRID
) -> PreparedView:
    """The network's input from one pair that shares a source grid.

    The breast is found on both images, the crop is mirrored so that the chest wall is on the left
    (by the pixels where they are clear, else by Patient Orientation and laterality), averaged down
    to ``grid`` (H, W) and normalised inside the breast.

    Raises
    ------
    UnsuitableExam
        When the images differ in size or show no breast.
    """
    return prepare_arrays(
        low_energy.pixels, recombined.pixels, flipped=_flip_of(recombined.ds), grid=grid
    )


def prepare_arrays(
    low: FloatImage,
    rec: FloatImage,
    *,
    flipped: bool | None = None,
    certain: bool = False,
    grid: tuple[int, int] = GRID,
) -> PreparedView:
    """``prepare`` for arrays (rows, columns): what training and the node have in common.

    ``flipped`` is what the header says of the chest wall: True on the right, None nothing. Where
    it is ``certain``, the pixels are not asked.

    Raises
    ------
    UnsuitableExam
        When the arrays differ in size or show no breast.
    """
    if low.shape != rec.shape:
        raise UnsuitableExam(
            f"low-energy image {low.shape} and recombined image {rec.shape} differ in size; "
            "they are not one exposure pair"
        )
    breast = find_breast(low, rec)
    known = flipped if certain else None
    right = chest_wall_right(breast, header=flipped) if known is None else known
    breast = closed_to_chest_wall(breast, right=right)
    frame = fit((low.shape[0], low.shape[1]), breast.box, grid, flipped=right)
    inside = _inside(breast, frame)
    dense, enhancing = (normalised(to_grid(frame, pixels), inside) for pixels in (low, rec))
    return PreparedView(image=np.stack([dense, flattened(enhancing, inside)]), frame=frame)


def _padding(ds: Dataset, stored: npt.NDArray[np.integer]) -> Mask | None:
    """Where ``stored`` is padding; None if the header names none or none is there."""
    value = ds.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = ds.get("PixelPaddingRangeLimit")
    other = limit if isinstance(limit, int) else value
    if other == value:
        padding: Mask = stored == value
    else:
        padding = (stored >= min(value, other)) & (stored <= max(value, other))
    return padding if padding.any() else None


def _inverted(ds: Dataset) -> bool:
    """Whether low stored values are dense (PS3.3 C.8.11.3.1.2: MONOCHROME1 goes with INVERSE)."""
    shape = str(ds.get("PresentationLUTShape", "")).upper()
    return ds.get("PhotometricInterpretation") == "MONOCHROME1" or shape == "INVERSE"


def _flip_of(ds: Dataset) -> bool | None:
    """Whether the header puts the chest wall on the right; None if it does not say.

    The first value of Patient Orientation is the direction of the rows (PS3.3 C.7.6.1.1.1): rows
    that run towards posterior end at the chest wall. Without it, the hanging convention of
    mammography: the chest wall of a right breast is on the right.
    """
    orientation = ds.get("PatientOrientation")
    first = str(orientation[0]).upper() if orientation else ""
    if first[:1] in {"A", "P"}:
        return first.startswith("P")
    laterality = ds.get("ImageLaterality") or ds.get("Laterality")
    return {"R": True, "L": False}.get(str(laterality))


def _inside(breast: Breast, frame: Frame) -> Mask:
    """Breast mask (H, W) on the network grid."""
    H, W = frame.network_shape
    y = frame.top + (np.arange(H) + 0.5 - frame.pad_y) / frame.scale
    x = (np.arange(W) + 0.5 - frame.pad_x) / frame.scale
    x = frame.right - x if frame.flipped else frame.left + x
    rows, columns = np.floor(y / breast.step), np.floor(x / breast.step)
    in_rows, in_columns = (
        (y >= frame.top) & (y < frame.bottom),
        (x >= frame.left) & (x < frame.right),
    )
    seen = in_rows[:, None] & in_columns
    limit_y, limit_x = breast.mask.shape[0] - 1, breast.mask.shape[1] - 1
    i = np.clip(rows, 0, limit_y).astype(np.intp)
    j = np.clip(columns, 0, limit_x).astype(np.intp)
    inside: Mask = breast.mask[np.ix_(i, j)] & seen
    return inside


def normalised(grid: FloatImage, inside: Mask) -> FloatImage:
    """Grid image in robust units: the breast's median 0, half its 5-95 % range 1."""
    values = grid[inside]
    if values.size == 0:
        return np.full_like(grid, OUTSIDE)
    low, middle, high = np.percentile(values, (5, 50, 95))
    spread = max((high - low) / 2, 1e-6)
    scaled = np.clip((grid - middle) / spread, OUTSIDE, BRIGHTEST)
    return np.where(inside, scaled, OUTSIDE).astype(np.float32)


def flattened(grid: FloatImage, inside: Mask) -> FloatImage:
    """A normalised recombined image without its slow background, normalised again.

    Scatter leaves a bright rim inside the breast (the 'breast within a breast' of real systems)
    that is as bright as a lesion but wider than any. Vendors differ in it, so it is taken out.
    """
    background = _blurred(np.minimum(grid, ORDINARY), inside)
    return normalised(np.where(inside, grid - background, OUTSIDE).astype(np.float32), inside)


def _blurred(grid: FloatImage, inside: Mask) -> FloatImage:
    """Slow part (H, W) of ``grid``, from what is ``inside`` alone (normalised convolution)."""
    H, W = grid.shape
    rows, columns = -(-H // BLOCK), -(-W // BLOCK)
    short = ((0, rows * BLOCK - H), (0, columns * BLOCK - W))

    def cells(values: FloatImage) -> FloatImage:
        blocks = np.pad(values, short).reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3))
        return np.asarray(ndimage.gaussian_filter(blocks, REACH), dtype=np.float32)

    weight = cells(inside.astype(np.float32))
    coarse = cells(np.where(inside, grid, 0).astype(np.float32)) / np.maximum(weight, 1e-6)
    fine = fit(
        (rows, columns), (0, 0, rows, columns), (rows * BLOCK, columns * BLOCK), flipped=False
    )
    return to_grid(fine, coarse)[:H, :W]
