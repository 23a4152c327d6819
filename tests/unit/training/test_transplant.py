"""A lesion moved into another breast."""

from __future__ import annotations

import numpy as np
import pytest

from worker.exam.pixels import BRIGHTEST, OUTSIDE
from worker.training.transplant import transplanted

SIZE = (128, 96)


def breast(seed=0, shift=0.0):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    inside = ((y - 64) / 60) ** 2 + (x / 90) ** 2 < 1
    noise = np.random.default_rng(seed).normal(shift, 0.1, (2, *SIZE))
    return np.where(inside, noise, OUTSIDE).astype(np.float32)


def donor(radius=8, level=3.0):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    lesion = (y - 50) ** 2 + (x - 30) ** 2 < radius**2
    image = breast(1, shift=-0.5)
    image[1][lesion] += level
    image[0][lesion] += level / 2
    return image, lesion


def test_what_a_lesion_adds_is_added_where_its_mask_says():
    target = breast()
    image, mask = transplanted(target, *donor(), np.random.default_rng(3))
    added = image[1] - target[1]
    assert mask.sum() == pytest.approx(np.pi * 64, rel=0.1)
    # Above its surroundings by 3 at the donor, by 0.7 to 1.2 times that here.
    assert 3.0 * 0.6 < np.median(added[mask]) < 3.0 * 1.3
    far = ~mask & (np.abs(added) > 1.0)
    assert far.sum() < 0.2 * mask.sum()
    assert np.median((image[0] - target[0])[mask]) == pytest.approx(
        np.median(added[mask]) / 2, rel=0.2
    )


def test_nothing_leaves_the_breast_or_the_scale():
    target = breast()
    for seed in range(20):
        image, mask = transplanted(target, *donor(level=9.0), np.random.default_rng(seed))
        outside = target[1] == OUTSIDE
        assert not (mask & outside).any()
        np.testing.assert_array_equal(image[:, outside], OUTSIDE)
        assert image.max() <= BRIGHTEST
        assert image[:, ~outside].min() > OUTSIDE


def test_an_empty_channel_stays_empty():
    target = breast()
    target[0] = OUTSIDE
    image, _ = transplanted(target, *donor(), np.random.default_rng(0))
    np.testing.assert_array_equal(image[0], OUTSIDE)


def test_a_lesion_as_large_as_a_breast_is_left_where_it_is():
    image, _ = donor()
    rng = np.random.default_rng(0)
    assert transplanted(breast(), image, image[1] > OUTSIDE, rng) is None
    assert transplanted(breast(), image, np.zeros(SIZE, bool), rng) is None


def test_lesions_come_to_lie_in_many_places():
    rng, centres = np.random.default_rng(0), set()
    for _ in range(20):
        _, mask = transplanted(breast(), *donor(), rng)
        rows, columns = np.nonzero(mask)
        centres.add((int(rows.mean()) // 10, int(columns.mean()) // 10))
    assert len(centres) > 8
