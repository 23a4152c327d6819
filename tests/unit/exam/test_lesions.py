"""From probability to lesions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.exam.frame import fit
from worker.exam.lesions import MOST_LESIONS, level_of, outline

GRID = (256, 144)
THRESHOLDS = {"segment": 0.5, "peak": 0.6, "min_area_px": 20.0, "max_area_fraction": 0.4}


def frame(scale=0.25, *, flipped=False):
    rows, columns = round(GRID[0] / scale), round(GRID[1] / scale)
    return fit((rows + 40, columns + 30), (20, 10, rows + 20, columns + 10), GRID, flipped=flipped)


def disc(x, y, radius, peak=0.95):
    """A probability map with one round lesion and a soft rim."""
    yy, xx = np.mgrid[: GRID[0], : GRID[1]] + 0.5
    distance = np.hypot(xx - x, yy - y) - radius
    return (peak / (1 + np.exp(np.clip(2 * distance, -30, 30)))).astype(np.float32)


def shoelace(points):
    x, y = points[:, 0], points[:, 1]
    return abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2


def test_a_map_that_is_low_everywhere_has_no_lesion():
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 0.3, GRID).astype(np.float32)  # Otsu alone would mark half of it
    assert outline(noise, frame(), (0.07, 0.07), thresholds=THRESHOLDS) == ()
    assert outline(np.zeros(GRID, np.float32), frame(), None, thresholds=THRESHOLDS) == ()


def test_a_region_that_never_reaches_the_peak_is_no_lesion():
    assert outline(disc(60, 100, 12, peak=0.58), frame(), None, thresholds=THRESHOLDS) == ()


def test_specks_and_whole_breasts_are_no_lesions():
    assert outline(disc(60, 100, 1.5), frame(), None, thresholds=THRESHOLDS) == ()
    assert outline(np.ones(GRID, np.float32), frame(), None, thresholds=THRESHOLDS) == ()


@pytest.mark.parametrize("flipped", [False, True])
def test_area_and_long_axis_are_those_of_the_disc(flipped):
    (lesion,) = outline(
        disc(60, 100, 12), frame(flipped=flipped), (0.07, 0.07), thresholds=THRESHOLDS
    )
    radius_mm = 12 / 0.25 * 0.07
    assert lesion.area_mm2 == pytest.approx(np.pi * radius_mm**2, rel=0.03)
    assert lesion.long_axis_mm == pytest.approx(2 * radius_mm, rel=0.02)
    assert lesion.peak_probability == pytest.approx(0.95, abs=0.01)
    y, x = (i.mean() + 0.5 for i in np.nonzero(lesion.mask))
    where = frame(flipped=flipped)
    expected_x = where.right - 60 / 0.25 if flipped else where.left + 60 / 0.25
    assert (x, y) == (pytest.approx(expected_x, abs=1), pytest.approx(where.top + 400, abs=1))


def test_without_spacing_there_are_no_millimetres():
    (lesion,) = outline(disc(60, 100, 12), frame(), None, thresholds=THRESHOLDS)
    assert lesion.area_mm2 is None
    assert lesion.long_axis_mm is None
    (x1, y1), (x2, y2) = lesion.long_axis
    assert np.hypot(x1 - x2, y1 - y2) == pytest.approx(96, rel=0.03)


def test_unequal_spacing_counts_rows_and_columns_for_themselves():
    (lesion,) = outline(disc(60, 100, 12), frame(), (0.2, 0.05), thresholds=THRESHOLDS)
    assert lesion.long_axis_mm == pytest.approx(96 * 0.2, rel=0.03)
    (x1, _), (x2, _) = lesion.long_axis
    assert abs(x1 - x2) < 10  # the long axis stands upright
    assert lesion.area_mm2 == pytest.approx(lesion.area_px * 0.01)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(30, 110),
    st.floats(40, 210),
    st.floats(4, 25),
    st.sampled_from([0.15, 0.5, 1.0, 1.7]),
    st.booleans(),
)
def test_outline_and_mask_agree_within_two_per_cent(x, y, radius, scale, flipped):
    (lesion,) = outline(
        disc(x, y, radius), frame(scale, flipped=flipped), (0.1, 0.1), thresholds=THRESHOLDS
    )
    assert 50 <= len(lesion.outline) <= 200
    np.testing.assert_array_equal(lesion.outline[0], lesion.outline[-1])
    assert shoelace(lesion.outline) == pytest.approx(lesion.area_px, rel=0.02)
    assert lesion.area_px == int(lesion.mask.sum())
    rows, columns = np.nonzero(lesion.mask)
    low, high = lesion.outline.min(axis=0), lesion.outline.max(axis=0)
    np.testing.assert_allclose(low, [columns.min(), rows.min()], atol=1.5)
    np.testing.assert_allclose(high, [columns.max() + 1, rows.max() + 1], atol=1.5)


def test_lesions_come_largest_first_and_at_most_one_more_than_are_reported():
    discs = [
        disc(30, 40, 6), disc(100, 60, 10), disc(40, 150, 8), disc(100, 200, 5), disc(30, 220, 4)
    ]  # fmt: skip
    probability = np.max(discs, axis=0)
    lesions = outline(probability, frame(), None, thresholds=THRESHOLDS)
    areas = [lesion.area_px for lesion in lesions]
    assert len(areas) == MOST_LESIONS + 1
    assert areas == sorted(areas, reverse=True)
    assert not (lesions[0].mask & lesions[1].mask).any()


def test_two_lesions_that_almost_touch_stay_two():
    probability = np.maximum(disc(50, 100, 10), disc(73, 100, 9))
    lesions = outline(probability, frame(), None, thresholds=THRESHOLDS)
    assert len(lesions) == 2
    assert not (lesions[0].mask & lesions[1].mask).any()


def test_a_ring_is_filled():
    ring = disc(70, 120, 20) - disc(70, 120, 10)
    (lesion,) = outline(ring, frame(), None, thresholds=THRESHOLDS)
    y, x = (round(i.mean()) for i in np.nonzero(lesion.mask))
    assert lesion.mask[y, x]


@pytest.mark.parametrize("flipped", [False, True])
def test_a_lesion_at_the_chest_wall_ends_at_the_crop(flipped):
    where = frame(flipped=flipped)
    (lesion,) = outline(disc(0, 100, 15), where, (0.1, 0.1), thresholds=THRESHOLDS)
    columns = np.nonzero(lesion.mask)[1]
    if flipped:
        assert columns.max() == where.right - 1
    else:
        assert columns.min() == where.left
    assert shoelace(lesion.outline) == pytest.approx(lesion.area_px, rel=0.02)


@pytest.mark.parametrize("doubt", [0.3, 0.6])
def test_the_adaptive_level_is_the_one_that_promises_the_largest_dice(doubt):
    # A sure core of 100 pixels, a rim of 100 of which a share of ``doubt`` may belong to it.
    probability = np.zeros((40, 40), np.float32)
    probability[:10, :10], probability[20:30, :10] = 0.99, doubt
    level = level_of(probability, {"segment": 0.5, "adaptive": 1.0})
    core, both = (
        2 * 99 / (100 + 99 + 100 * doubt),
        2 * (99 + 100 * doubt) / (200 + 99 + 100 * doubt),
    )
    assert (level <= doubt + 1e-6) is (both > core)
    assert level_of(probability, {"segment": 0.5}) == 0.5
    assert level_of(np.zeros((4, 4), np.float32), {"segment": 0.5, "adaptive": 1.0}) == 0.5
