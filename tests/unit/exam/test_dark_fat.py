"""Fat that is as dark as air in the low-energy image does not cost the breast its edge."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from worker.exam.breast import find_breast

ROWS, COLUMNS = 1000, 700


def half_disc(radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    return np.hypot(rows - ROWS / 2, columns * 1.2) < radius


def processed_pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gland bright, fat nearly black, as in processed mammograms; the recombined image even."""
    rng = np.random.default_rng(7)
    breast, gland = half_disc(450), half_disc(330)
    low = np.where(breast, rng.uniform(0, 250, breast.shape), 0.0)
    low[gland] += ndimage.gaussian_filter(rng.uniform(0, 30_000, breast.shape), 3)[gland] - 14_000
    low = np.clip(low, 0, 4095)
    recombined = np.where(breast, 800 + 60 * rng.standard_normal(breast.shape), 0.0)
    return low.astype(np.float32), recombined.astype(np.float32), breast


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_the_recombined_image_gives_the_edge_that_the_low_energy_one_lacks() -> None:
    low, recombined, breast = processed_pair()
    found = find_breast(low, recombined)
    coarse = breast[:: found.step, :: found.step]
    assert overlap(found.mask[: coarse.shape[0], : coarse.shape[1]], coarse) > 0.9
    _, _, bottom, right = found.box
    rows, columns = np.nonzero(breast)
    assert bottom >= rows.max()
    assert right >= columns.max()


def test_a_recombined_image_that_is_grey_all_over_is_not_taken_for_the_breast() -> None:
    low, _, breast = processed_pair()
    rng = np.random.default_rng(8)
    low = np.where(breast, 900 + 50 * rng.standard_normal(breast.shape), 0).astype(np.float32)
    grey = (1000 + 30 * rng.standard_normal(breast.shape)).astype(np.float32)
    found = find_breast(low, grey)
    coarse = breast[:: found.step, :: found.step]
    assert overlap(found.mask[: coarse.shape[0], : coarse.shape[1]], coarse) > 0.9
