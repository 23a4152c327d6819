"""Masks against each other."""

from __future__ import annotations

import numpy as np
import pytest

from worker.evaluation.overlap import dice, hd95


def square(top, left, side=20, size=100):
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_dice_of_a_shifted_square():
    assert dice(square(10, 10), square(10, 20)) == pytest.approx(0.5)


def test_the_distance_of_a_shifted_square_is_its_shift():
    assert hd95(square(10, 10), square(10, 15)) == pytest.approx(5)
    assert hd95(square(10, 10), square(10, 15), spacing=(0.1, 0.2)) == pytest.approx(1)


def test_the_distance_is_the_same_both_ways_and_none_without_a_mask():
    small, large = square(40, 40, side=5), square(20, 20, side=50)
    assert hd95(small, large) == hd95(large, small) > 15
    assert hd95(small, small) == 0
    assert hd95(small, np.zeros_like(small)) is None
