"""The report by image and in its older class, the Segmentation as a label map."""

from __future__ import annotations

import numpy as np
import pytest
from highdicom.seg import segread
from pydicom.dataset import Dataset

from tests.analysis_builders import WAYS, encoded
from tests.report_reader import concept, items, read
from worker.contracts import Analysis, Role
from worker.report.identity import named_views

CLASSES = {
    Role.SR: "1.2.840.10008.5.1.4.1.1.88.34",
    Role.SR_IMAGE: "1.2.840.10008.5.1.4.1.1.88.34",
    Role.SR_2D: "1.2.840.10008.5.1.4.1.1.88.33",
    Role.SR_IMAGE_2D: "1.2.840.10008.5.1.4.1.1.88.33",
}
REGION, TRACKING = "111030", "112040"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("role", CLASSES)
def test_each_form_has_its_class_and_is_there_whatever_the_outcome(way: str, role: Role):
    found = _of(WAYS[way], role)
    assert found
    assert {ds.SOPClassUID for ds in found.values()} == {CLASSES[role]}


@pytest.mark.parametrize("role", [Role.SR_IMAGE, Role.SR_IMAGE_2D])
def test_a_report_by_image_draws_on_one_image_and_says_everything_else(role: Role):
    made = WAYS["positive both breasts"]
    whole = _of(made, Role.SR)["exam"]
    by_image = _of(made, role)
    marked = [view for view in named_views(made) if view.result.lesions]
    assert list(by_image) == [view.key for view in marked]
    for view in marked:
        ds = by_image[view.key]
        assert _images(ds) == {view.result.recombined.SOPInstanceUID}
        assert _sentences(ds) == _sentences(whole)
        assert f"{view.name} 1 mark" in ds.SeriesDescription
    assert sorted(uid for ds in by_image.values() for uid in _tracked(ds)) == sorted(
        _tracked(whole)
    )


def test_without_a_lesion_the_form_by_image_is_one_report_of_the_exam():
    for way in ("negative", "failed", "unsuitable"):
        assert list(_of(WAYS[way], Role.SR_IMAGE)) == ["exam"]


@pytest.mark.parametrize("way", ["two lesions", "MONOCHROME1", "no spacing"])
def test_a_label_map_holds_the_masks_under_the_numbers_of_the_segments(way: str, tmp_path):
    made = WAYS[way]
    contents = {r.key: r.content for r in encoded(made) if r.role is Role.LABELMAP}
    for view in named_views(made):
        if not view.result.lesions:
            assert view.key not in contents
            continue
        file = tmp_path / "labels.dcm"
        file.write_bytes(contents[view.key])
        labels = segread(file)
        expected = np.zeros(labels.pixel_array.shape, dtype=np.uint8)
        for number, lesion in enumerate(view.result.lesions, start=1):
            expected[lesion.mask] = number
        assert np.array_equal(labels.pixel_array, expected)
        binary = _of(made, Role.SEG)[view.key]
        assert [s.TrackingUID for s in labels.SegmentSequence] == [
            s.TrackingUID for s in binary.SegmentSequence
        ]
        assert [s.SegmentNumber for s in labels.SegmentSequence] == [
            number for number, _ in enumerate(view.result.lesions, start=1)
        ]


def _of(made: Analysis, role: Role) -> dict[str, Dataset]:
    return {r.key: read(r.content) for r in encoded(made) if r.role is role}


def _images(report: Dataset) -> set[str]:
    """Images on which regions are drawn."""
    return {
        item.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in items(report)
        if concept(item) == REGION
    }


def _tracked(report: Dataset) -> list[str]:
    """Tracking UIDs of groups with a region."""
    return [
        child.UID
        for item in items(report)
        if any(concept(child) == REGION for child in item.get("ContentSequence", ()))
        for child in item.ContentSequence
        if concept(child) == TRACKING
    ]


def _sentences(report: Dataset) -> list[str]:
    """Conclusion and limits."""
    return [i.TextValue for i in items(report) if concept(i) in {"121077", "121106"}]
