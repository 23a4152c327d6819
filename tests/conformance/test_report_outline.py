"""Thinned outlines keep the area, the closure, the image's limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.report.outline import area, thin

SHAPE = (832, 640)  # rows, columns


def test_the_area_of_a_square_is_its_side_squared():
    square = np.array([[3.0, 4.0], [13.0, 4.0], [13.0, 14.0], [3.0, 14.0], [3.0, 4.0]])
    assert area(square) == pytest.approx(100)


def test_an_outline_with_few_points_is_kept_as_it_is():
    triangle = np.array([[1.0, 1.0], [9.0, 1.0], [5.0, 7.0], [1.0, 1.0]])
    assert np.array_equal(thin(triangle, SHAPE), triangle)


def test_an_open_outline_is_closed():
    triangle = np.array([[1.0, 1.0], [9.0, 1.0], [5.0, 7.0]])
    assert np.array_equal(thin(triangle, SHAPE)[-1], triangle[0])


@given(
    spikes=st.integers(0, 40),
    depth=st.floats(0, 0.6),
    radius=st.floats(5, 200),
    points=st.integers(120, 3000),
)
def test_thinning_keeps_the_area_whatever_the_shape(
    spikes: int, depth: float, radius: float, points: int
):
    outline = _star(spikes, depth, radius, points)
    thinned = thin(outline, SHAPE)
    assert np.array_equal(thinned[0], thinned[-1])
    assert area(thinned) == pytest.approx(area(outline), rel=0.01)


def test_a_smooth_outline_becomes_a_hundred_points():
    assert len(thin(_star(3, 0.1, 100, 2000), SHAPE)) == 101


def test_a_spiculated_outline_keeps_as_many_points_as_its_area_needs():
    assert 101 < len(thin(_star(40, 0.5, 150, 3000), SHAPE)) < 1700


def test_points_beyond_the_image_are_brought_to_its_edge():
    outline = _star(0, 0.0, 200, 500) - [250.0, 0.0]
    thinned = thin(outline, SHAPE)
    assert thinned.min() >= 0
    assert (thinned <= [640, 832]).all()


def _star(spikes: int, depth: float, radius: float, points: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, points + 1)
    reach = radius * (1 + depth * np.sin(spikes * angle))
    outline = np.stack([320 + reach * np.cos(angle), 416 + reach * np.sin(angle)], axis=1)
    outline[-1] = outline[0]
    return outline
