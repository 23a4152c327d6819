"""The breast in a pair of images, told from labels, markers, bars and air."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dicom_node.errors import UnsuitableExam
from worker.contracts import FloatImage, Mask

COARSE = 400  # longest side of the image on which the breast is searched, in pixels
SMALLEST_SHARE = 0.03  # of the image: less is a label or a specimen, not a breast
AGREEMENT = 0.7  # overlap (intersection over union) from which the recombined image is believed
CONTAINED = 0.95  # share of the low-energy body that lies inside the recombined one
WHOLE_FRAME = 0.92  # share of the image: more is no breast but a background
CLEAR_SIDE = 1.5  # how much longer the breast must touch one side for the pixels to decide


@dataclass(frozen=True)
class Breast:
    """Breast mask on every ``step``-th source pixel, and its box in source pixels, half-open."""

    mask: Mask
    step: int
    box: tuple[int, int, int, int]  # top, left, bottom, right


def find_breast(low: FloatImage, rec: FloatImage) -> Breast:
    """The breast of a pair (rows, columns), by the low-energy image first.

    Raises
    ------
    UnsuitableExam
        When there is no connected bright region of the size of a breast.
    """
    step = max(1, max(low.shape) // COARSE)
    mask = _largest_body(low[::step, ::step])
    other = _largest_body(rec[::step, ::step])
    if _belongs_to(other, mask):
        mask = mask | other
    if mask.mean() < SMALLEST_SHARE:
        raise UnsuitableExam("no breast is found in the image; look at it in the PACS")
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    margin = 2  # coarse pixels: the skin line stays inside
    box = (
        max(int(rows[0]) - margin, 0) * step,
        max(int(columns[0]) - margin, 0) * step,
        min((int(rows[-1]) + 1 + margin) * step, low.shape[0]),
        min((int(columns[-1]) + 1 + margin) * step, low.shape[1]),
    )
    return Breast(mask=ndimage.binary_dilation(mask, iterations=margin), step=step, box=box)


def chest_wall_right(breast: Breast, *, header: bool | None) -> bool:
    """Whether the chest wall is on the right of the stored image.

    A breast is cut off by the detector at the chest wall, so that is the side of its box along
    which it is longest. ``header`` decides where the pixels do not.
    """
    columns = np.flatnonzero(breast.mask.any(axis=0))
    band = max((int(columns[-1]) - int(columns[0])) // 12, 1)
    left = int(breast.mask[:, columns[0] : columns[0] + band].sum())
    right = int(breast.mask[:, columns[-1] + 1 - band : columns[-1] + 1].sum())
    if right > CLEAR_SIDE * left:
        return True
    if left > CLEAR_SIDE * right or header is None:
        return right > left
    return header


def closed_to_chest_wall(breast: Breast, *, right: bool) -> Breast:
    """The breast with its dark inside: tissue can be as dark as air in a recombined image.

    Inside is what has breast above it, below it, and towards the skin. ``right`` says where the
    chest wall is.
    """
    mask = breast.mask
    above = np.logical_or.accumulate(mask, axis=0)
    below = np.logical_or.accumulate(mask[::-1], axis=0)[::-1]
    outward = mask if right else mask[:, ::-1]
    skinward = np.logical_or.accumulate(outward, axis=1)
    skinward = skinward if right else skinward[:, ::-1]
    return replace(breast, mask=mask | (above & below & skinward))


def _belongs_to(recombined: Mask, low_energy: Mask) -> bool:
    """Whether the body of the recombined image is the breast too.

    It is where both agree, and where the low-energy body is only a part of it: fat is as dark as
    air in many processed mammograms. A body that fills the frame is a grey background instead.
    """
    both, union = int((recombined & low_energy).sum()), int((recombined | low_energy).sum())
    if both >= AGREEMENT * union > 0:
        return True
    inside = both >= CONTAINED * int(low_energy.sum()) > 0
    return inside and float(recombined.mean()) < WHOLE_FRAME


def _largest_body(image: npt.NDArray[np.float32]) -> Mask:
    """Largest region above air, without thin attachments and holes."""
    bright = image > _air_limit(image)
    opened = ndimage.binary_opening(bright, iterations=3)
    labels, count = ndimage.label(opened)
    if count == 0:
        return np.zeros(image.shape, dtype=np.bool_)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    body = labels == int(sizes.argmax())
    # Reconstructed by a little, so that opening takes labels away but not the nipple.
    body = ndimage.binary_dilation(body, iterations=3, mask=bright)
    filled: Mask = ndimage.binary_fill_holes(ndimage.binary_closing(body, iterations=3) | body)
    return filled


def _air_limit(image: npt.NDArray[np.float32]) -> float:
    """Value above which a pixel is not air: a small part of the way from air to tissue."""
    lowest, highest = np.percentile(image, (1, 99.5))
    if highest <= lowest:
        return float(highest)
    counts, edges = np.histogram(np.clip(image, lowest, highest), bins=256)
    split = _otsu(counts, edges)
    dark = image[image <= split]
    air = float(np.median(dark)) if dark.size else float(lowest)
    noise = 4 * 1.4826 * float(np.median(np.abs(dark - air))) if dark.size else 0.0
    step = 0.25 * (split - air)
    # With no air in the crop the dark half is fatty tissue, whose spread is no noise.
    return air + (max(step, noise) if noise < split - air else step)


def _otsu(counts: npt.NDArray[np.int64], edges: npt.NDArray[np.floating]) -> float:
    """Threshold that separates a histogram into the two most distinct classes (Otsu 1979)."""
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = counts.sum() - below
    moment = np.cumsum(counts * centres)
    mean_below = moment[:-1] / np.maximum(below, 1)
    mean_above = (moment[-1] - moment[:-1]) / np.maximum(above, 1)
    return float(edges[1:-1][np.argmax(below * above * (mean_below - mean_above) ** 2)])
