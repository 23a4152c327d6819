"""Presentation states draw what the report says, over the image as it is shown without them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.analysis_builders import (
    COLUMNS,
    ROWS,
    WAYS,
    Spot,
    analysis,
    finding,
    negative_breast,
    right_breast,
    view_result,
)
from tests.conformance.validators import dciodvfy_errors, dcmpschk_complaints, find_tool
from tests.report_reader import items, objects_by_view, report_of, written
from worker.contracts import Analysis, Gate, Role

# DCMTK 3.6.7 takes a name in UTF-8 for an error, whatever the file says of its character set.
READABLE = [way for way in WAYS if way != "UTF-8 name"]


@pytest.mark.parametrize("way", WAYS)
def test_dciodvfy_finds_no_error_in_a_presentation_state(way: str, tmp_path: Path):
    for file in written(WAYS[way], tmp_path, Role.GSPS):
        assert dciodvfy_errors(file) == [], file.name


@pytest.mark.dcmtk
@pytest.mark.skipif(find_tool("dcmpschk") is None, reason="Debian's dcmtk is not installed")
@pytest.mark.parametrize("way", READABLE)
def test_dcmpschk_passes_every_presentation_state(way: str, tmp_path: Path):
    for file in written(WAYS[way], tmp_path, Role.GSPS):
        assert dcmpschk_complaints(file) == [], file.name


@pytest.mark.dcmtk
@pytest.mark.skipif(find_tool("dcmpschk") is None, reason="Debian's dcmtk is not installed")
def test_dcmpschk_does_complain_when_there_is_a_reason(tmp_path: Path):
    (file, *_) = written(WAYS["partial"], tmp_path, Role.GSPS)
    ds = dcmread(file)
    del ds.DisplayedAreaSelectionSequence
    ds.save_as(file)
    assert dcmpschk_complaints(file) != []


@pytest.mark.parametrize(
    "way", ["positive both breasts", "two lesions", "MONOCHROME1", "GE dialect"]
)
def test_outlines_are_the_very_points_of_the_report(way: str):
    regions = {}
    for item in items(report_of(WAYS[way])):
        if item.ValueType == "SCOORD":
            image = item.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            regions.setdefault(image, []).append(list(item.GraphicData))
    drawn = {}
    for state in states(WAYS[way]).values():
        recombined = state.ReferencedSeriesSequence[0].ReferencedImageSequence[0]
        outlines = [list(graphic.GraphicData) for graphic in _graphics(state)]
        if outlines:
            drawn[recombined.ReferencedSOPInstanceUID] = outlines
    assert drawn == regions
    assert drawn


@pytest.mark.parametrize("way", WAYS)
def test_everything_lies_inside_the_image_and_outlines_are_closed(way: str):
    for state in states(WAYS[way]).values():
        for graphic in _graphics(state):
            points = np.reshape(graphic.GraphicData, (-1, 2))
            assert len(points) == graphic.NumberOfGraphicPoints
            assert points[0].tolist() == points[-1].tolist()
            assert (graphic.GraphicType, graphic.GraphicAnnotationUnits) == ("POLYLINE", "PIXEL")
            _assert_inside(points)
        for text in _texts(state):
            assert text.BoundingBoxAnnotationUnits == "PIXEL"
            corners = [text.BoundingBoxTopLeftHandCorner, text.BoundingBoxBottomRightHandCorner]
            _assert_inside(np.array(corners))
            assert np.all(np.diff(corners, axis=0) > 0)


@pytest.mark.parametrize("spot", [Spot(x=45.5, y=50, radius=30), Spot(x=600, y=800, radius=28)])
def test_a_label_stays_in_the_image_beside_a_lesion_in_its_corner(spot: Spot):
    (state,) = states(analysis(finding("R", view_result("R", "CC", (spot,))))).values()
    label = next(t for t in _texts(state) if t.UnformattedTextValue.startswith("1:"))
    top, bottom = label.BoundingBoxTopLeftHandCorner, label.BoundingBoxBottomRightHandCorner
    _assert_inside(np.array([top, bottom]))
    assert abs((top[1] + bottom[1]) / 2 - spot.y) < 2 * spot.radius
    # Above or below, so that the label covers nothing of the lesion.
    points = np.reshape(_graphics(state)[0].GraphicData, (-1, 2))
    assert bottom[1] <= points[:, 1].min() or top[1] >= points[:, 1].max()


def test_labels_of_neighbours_do_not_lie_on_each_other():
    spots = (Spot(x=200, y=300, radius=30), Spot(x=280, y=300, radius=30))
    (state,) = states(analysis(finding("R", view_result("R", "CC", spots)))).values()
    one, two = [t for t in _texts(state) if t.UnformattedTextValue[1] == ":"]
    apart = [
        one.BoundingBoxBottomRightHandCorner[axis] <= two.BoundingBoxTopLeftHandCorner[axis]
        or two.BoundingBoxBottomRightHandCorner[axis] <= one.BoundingBoxTopLeftHandCorner[axis]
        for axis in (0, 1)
    ]
    assert any(apart)


def test_each_view_says_number_and_probability_and_what_it_is():
    made = states(WAYS["positive one breast"])
    assert set(made) == {"R-CC", "R-MLO", "L-CC", "L-MLO"}
    for key, state in made.items():
        words = [text.UnformattedTextValue for text in _texts(state)]
        side, view = key.split("-")
        if side == "R":
            assert words == ["AI, research use, not for diagnosis", "1: p(malignant) 87.3 %"]
            assert state.SeriesDescription.startswith(f"AI R {view}: 1 lesion")
        else:
            assert words == ["AI: no lesion found; research use"]
            assert not _graphics(state)
            assert state.SeriesDescription.startswith(f"AI L {view}: no lesion found")
        assert (state.Laterality, state.Modality) == (side, "PR")
        assert state.ContentDescription.startswith(f"{side} {view}: ")
        assert state.PresentationCreationDate == state.ContentDate


def test_a_breast_whose_probability_is_in_doubt_says_so():
    gate = Gate("views_disagree", "the views contradict each other")
    doubtful = replace(right_breast(), decision="indeterminate", gate=gate)
    none = replace(right_breast(), p_malignant=None, decision="not_assessed", gate=gate)
    for case, label, words in (
        (doubtful, "1: p(malignant) 87.3 %", "Probability not to be relied on: views disagree"),
        (none, "1: no probability", "No probability is given: views disagree"),
    ):
        notice, beside = _texts(states(analysis(case))["R-CC"])
        assert beside.UnformattedTextValue == label
        assert notice.UnformattedTextValue.split("\r\n")[0] == words
        assert notice.UnformattedTextValue.endswith("AI, research use, not for diagnosis")


def test_the_notice_stands_away_from_the_chest_wall():
    made = states(analysis(right_breast(), negative_breast("L")))
    for key, state in made.items():
        notice = _texts(state)[0]
        box = [notice.BoundingBoxTopLeftHandCorner[0], notice.BoundingBoxBottomRightHandCorner[0]]
        at_left = box[0] < COLUMNS - box[1]
        assert at_left == key.startswith("R")  # a right breast touches the right edge
        assert notice.BoundingBoxTextHorizontalJustification == ("LEFT" if at_left else "RIGHT")
        assert notice.BoundingBoxTopLeftHandCorner[1] > 0.9 * ROWS


def test_layers_are_coloured_and_the_whole_image_is_shown():
    state = states(WAYS["two lesions"])["R-MLO"]
    layers = {layer.GraphicLayer: layer for layer in state.GraphicLayerSequence}
    assert {a.GraphicLayer for a in state.GraphicAnnotationSequence} == set(layers)
    for layer in layers.values():
        assert len(layer.GraphicLayerRecommendedDisplayCIELabValue) == 3
    (area,) = state.DisplayedAreaSelectionSequence
    assert list(area.DisplayedAreaTopLeftHandCorner) == [1, 1]
    assert list(area.DisplayedAreaBottomRightHandCorner) == [COLUMNS, ROWS]
    assert area.PresentationPixelSpacing[0] == pytest.approx(0.28 / 1.0625)
    assert "ShutterShape" not in state


def test_an_image_without_spacing_has_square_pixels():
    (area,) = states(WAYS["no spacing"])["R-CC"].DisplayedAreaSelectionSequence
    assert list(area.PresentationPixelAspectRatio) == [1, 1]
    assert "PresentationPixelSpacing" not in area


def test_both_images_are_referenced_in_their_series():
    made = WAYS["positive one breast"]
    for state, view in zip(states(made).values(), _views(made), strict=True):
        named = {
            (series.SeriesInstanceUID, image.ReferencedSOPInstanceUID)
            for series in state.ReferencedSeriesSequence
            for image in series.ReferencedImageSequence
        }
        images = (view.recombined, view.low_energy)
        assert named == {(ds.SeriesInstanceUID, ds.SOPInstanceUID) for ds in images}


def states(made: Analysis) -> dict[str, Dataset]:
    return objects_by_view(made, Role.GSPS)


def _views(made: Analysis):
    return [view for f in made.findings for view in f.views]


def _graphics(state: Dataset) -> list[Dataset]:
    return [
        graphic
        for annotation in state.GraphicAnnotationSequence
        for graphic in annotation.get("GraphicObjectSequence", ())
    ]


def _texts(state: Dataset) -> list[Dataset]:
    return [
        text
        for annotation in state.GraphicAnnotationSequence
        for text in annotation.TextObjectSequence
    ]


def _assert_inside(points: np.ndarray) -> None:
    assert points.min() >= 0
    assert np.all(points.max(axis=0) <= (COLUMNS, ROWS))
