"""Tissue as dark as air near the chest wall, as recombined images show it."""

from __future__ import annotations

import numpy as np
import pytest

from worker.exam.breast import closed_to_chest_wall, find_breast
from worker.exam.pixels import OUTSIDE, prepare_arrays

ROWS, COLUMNS = 600, 400


def recombined(side="L"):
    """A breast whose rim enhances and whose inside is nearly black."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    reach = ((y - 300) / 280) ** 2 + (x / 370) ** 2
    image = np.where(reach < 1, 8.0, 0.0)
    image[(reach < 1) & (reach > 0.45)] = 120.0
    image += np.random.default_rng(0).normal(0, 0.5, image.shape)
    image = image.clip(0, 255).astype(np.float32)
    return (image if side == "L" else image[:, ::-1].copy()), reach < 1


@pytest.mark.parametrize("side", ["L", "R"])
def test_the_dark_inside_of_a_breast_is_inside(side):
    image, whole = recombined(side)
    view = prepare_arrays(image, image, flipped=side == "R", certain=True)
    inside = (view.image.max(axis=0) > OUTSIDE).sum() / view.frame.scale**2
    assert inside == pytest.approx(whole.sum(), rel=0.08)
    assert view.frame.flipped == (side == "R")


def test_what_lies_below_or_before_the_breast_is_not_its_inside():
    image, _ = recombined()
    found = find_breast(image, image)
    closed = closed_to_chest_wall(found, right=False)
    rows = np.flatnonzero(found.mask.any(axis=1))
    assert (closed.mask & found.mask).sum() == found.mask.sum()
    np.testing.assert_array_equal(np.flatnonzero(closed.mask.any(axis=1)), rows)
    skin = [np.flatnonzero(mask.any(axis=0)).max() for mask in (found.mask, closed.mask)]
    assert skin[0] == skin[1]


def test_a_whole_breast_stays_as_it_is():
    y, x = np.mgrid[:ROWS, :COLUMNS]
    whole = ((y - 300) / 280) ** 2 + (x / 370) ** 2 < 1
    image = np.where(whole, 100.0, 0.0).astype(np.float32)
    found = find_breast(image, image)
    np.testing.assert_array_equal(closed_to_chest_wall(found, right=False).mask, found.mask)


def test_a_certain_header_is_not_overruled_by_the_pixels():
    image, _ = recombined("L")
    assert prepare_arrays(image, image, flipped=True, certain=True).frame.flipped
    assert not prepare_arrays(image, image, flipped=False, certain=True).frame.flipped
