"""The map between source grid and network grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.exam.frame import fit, map_to_source, patch_on_source, to_grid, to_network, to_source


@st.composite
def frames(draw):
    rows, columns = draw(st.integers(40, 4096)), draw(st.integers(40, 4096))
    top, left = draw(st.integers(0, rows - 20)), draw(st.integers(0, columns - 20))
    bottom, right = draw(st.integers(top + 10, rows)), draw(st.integers(left + 10, columns))
    grid = draw(st.sampled_from([(512, 288), (64, 32), (96, 128)]))
    box = (top, left, bottom, right)
    return fit((rows, columns), box, grid, flipped=draw(st.booleans()))


coordinates = st.floats(-10, 5000, allow_nan=False)


@given(frames(), st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=8))
def test_going_to_the_network_and_back_is_exact(frame, points):
    points = np.array(points, dtype=np.float64)
    assert np.abs(to_source(frame, to_network(frame, points)) - points).max() <= 1e-9
    assert np.abs(to_network(frame, to_source(frame, points)) - points).max() <= 1e-8


@given(frames())
def test_the_crop_fills_the_grid_and_the_chest_wall_is_on_its_left_edge(frame):
    corners = np.array([[frame.left, frame.top], [frame.right, frame.bottom]], dtype=np.float64)
    network = to_network(frame, corners)
    low, high = network.min(axis=0), network.max(axis=0)
    H, W = frame.network_shape
    assert low[0] == pytest.approx(0, abs=1e-6)
    assert low[1] >= -1e-6
    assert high[0] <= W + 1e-6
    assert high[1] <= H + 1e-6
    assert high[0] == pytest.approx(W) or high[1] - low[1] == pytest.approx(H)
    chest_wall = to_network(frame, np.array([[frame.right if frame.flipped else frame.left, 0.0]]))
    assert chest_wall[0, 0] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("rows", [500, 60])  # shrinking, enlarging
def test_a_ramp_arrives_where_the_points_say(flipped, rows):
    columns = rows // 2
    y, x = np.mgrid[:rows, :columns] + 0.5
    box = (3, 5, rows - 7, columns - 4)
    frame = fit((rows, columns), box, (128, 96), flipped=flipped)
    for ramp, axis in ((x, 0), (y, 1)):
        grid = to_grid(frame, ramp.astype(np.float32))
        gy, gx = np.mgrid[20:100, 10:40] + 0.5
        source = to_source(frame, np.stack([gx.ravel(), gy.ravel()], axis=1))
        np.testing.assert_allclose(grid[20:100, 10:40].ravel(), source[:, axis], atol=0.02)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_network_ramp_comes_back_where_the_points_say(flipped):
    frame = fit((900, 700), (100, 50, 800, 400), (128, 96), flipped=flipped)
    ramp = np.tile(np.arange(96) + 0.5, (128, 1)).astype(np.float32)
    source = map_to_source(frame, ramp)
    points = np.array([[200.5, 300.5], [333.5, 700.5]])
    expected = to_network(frame, points)[:, 0]
    got = [source[int(y), int(x)] for x, y in points]
    np.testing.assert_allclose(got, expected, atol=1e-3)
    assert source[:100].max() == 0
    assert source[:, 400:].max() == 0


def test_area_average_keeps_the_mean():
    rng = np.random.default_rng(0)
    pixels = rng.random((640, 320), dtype=np.float32)
    frame = fit((640, 320), (0, 0, 640, 320), (128, 64), flipped=False)
    grid = to_grid(frame, pixels)
    np.testing.assert_allclose(grid, pixels.reshape(128, 5, 64, 5).mean(axis=(1, 3)), atol=1e-5)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_patch_equals_that_part_of_the_whole(flipped):
    rng = np.random.default_rng(1)
    frame = fit((500, 400), (20, 30, 480, 370), (64, 48), flipped=flipped)
    array = rng.random((64, 48), dtype=np.float32)
    whole = map_to_source(frame, array)
    patch = patch_on_source(frame, array, (100, 60, 200, 190))
    np.testing.assert_allclose(patch, whole[100:200, 60:190], atol=1e-6)
