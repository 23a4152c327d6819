"""Previews show the lesion where it is."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.analysis_builders import COLUMNS, ROWS, view_result
from worker.contracts import Frame, ViewResult
from worker.exam.frame import to_network, to_source
from worker.report.preview import Overlay, grey_picture, render

HEIGHT = 416  # half of the image
ORANGE = np.array([255, 150, 30])


def test_the_outline_lies_on_the_edge_of_the_mask():
    view = view_result("L", "CC")
    picture = _rendered(view, "outline")
    painted = np.argwhere(np.abs(picture.astype(int) - ORANGE).sum(axis=2) < 40)
    (lesion,) = view.lesions
    edge = lesion.outline[:, ::-1] / 2  # (row, column) of the picture
    distance = np.hypot(*(painted[:, None, :] + 0.5 - edge[None]).transpose(2, 0, 1)).min(axis=1)
    # All but the lesion's number lies on the edge, and all of the edge is painted.
    assert np.mean(distance < 2.5) > 0.85
    back = np.hypot(*(painted[:, None, :] + 0.5 - edge[None]).transpose(2, 0, 1)).min(axis=0)
    assert back.max() < 2.5


@pytest.mark.parametrize("flipped", [False, True])
def test_the_heat_map_lies_where_the_frame_says(flipped: bool):  # noqa: FBT001 - a parameter by pytest
    frame = Frame((ROWS, COLUMNS), (256, 128), 100, 60, 740, 380, 0.4, 0.0, 0.0, flipped)
    target = np.array([[300.0, 500.0]])  # (column, row) of the source
    x, y = to_network(frame, target)[0]
    assert to_source(frame, np.array([[x, y]])) == pytest.approx(target)
    rows, columns = np.mgrid[0:256, 0:128] + 0.5
    heat = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 50).astype(np.float32)
    view = view_result("L", "CC")
    view = ViewResult(**{**vars(view), "frame": frame, "heat_map": heat})
    picture = _rendered(view, "heat_map").astype(int)
    colour = (picture[:, :, 0] - picture[:, :, 2]).clip(0)
    colour[:, :40] = colour[:, -40:] = 0  # words and legend
    weight = np.where(colour > colour.max() / 2, 1.0, 0.0)
    at = [float((weight * axis).sum() / weight.sum()) for axis in np.indices(weight.shape)]
    assert at == pytest.approx([500 / 2, 300 / 2], abs=1.5)


def test_a_view_without_a_lesion_is_shown_without_colour():
    view = view_result("R", "MLO", ())
    for overlay in ("outline", "heat_map"):
        picture = _rendered(view, overlay)
        assert np.ptp(picture.astype(int), axis=2).max() == 0


def test_the_picture_keeps_the_shape_of_the_image():
    assert _rendered(view_result("R", "CC"), "outline").shape == (HEIGHT, 320, 3)


def test_words_are_burned_in_away_from_the_breast():
    for laterality in ("L", "R"):
        view = view_result(laterality, "CC", ())
        picture = _rendered(view, "outline")[:, :, 0]
        notice = picture[-25:]
        written = {"R": notice[:, :100].max() > 200, "L": notice[:, -100:].max() > 200}
        assert written[laterality]
        assert not written["L" if laterality == "R" else "R"]


def test_grey_values_follow_the_breast_and_not_the_background():
    pixels = _pixels()
    pixels[:30, :30] = 60000  # a lead marker
    grey = _rendered(view_result("L", "CC", ()), "outline", pixels)[200:220, 50:70, 0]
    assert 20 < grey.mean() < 235


def test_an_image_of_one_value_is_still_a_picture():
    flat = np.full((ROWS, COLUMNS), 7, dtype=np.float32)
    assert _rendered(view_result("L", "CC"), "outline", flat).shape[0] == HEIGHT


def test_the_same_view_gives_the_same_bytes():
    view = view_result("L", "CC")
    grey = grey_picture(_pixels(), HEIGHT)
    assert render(grey, view, overlay="heat_map") == render(grey, view, overlay="heat_map")


def _pixels() -> np.ndarray:
    """A bright half disc at the left edge on dark ground."""
    rows, columns = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)
    radius = np.hypot((rows - ROWS / 2) / 1.2, columns)
    return np.where(radius < 300, 1000 + 300 * np.cos(rows / 20), 0).astype(np.float32)


def _rendered(view: ViewResult, overlay: Overlay, pixels: np.ndarray | None = None) -> np.ndarray:
    grey = grey_picture(_pixels() if pixels is None else pixels, HEIGHT)
    png = render(grey, view, overlay=overlay)
    return np.asarray(Image.open(BytesIO(png)))
