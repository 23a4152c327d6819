"""What no validator looks at: whether the objects of one exam say the same of the same lesion."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset
from skimage.draw import polygon2mask

from tests.analysis_builders import (
    WAYS,
    Spot,
    analysis,
    encoded,
    finding,
    negative_breast,
    view_result,
)
from tests.report_reader import codes, concept, items, objects_by_view, read, report_of
from worker.contracts import Analysis, Role
from worker.report.identity import named_views

REGION, TRACKING, LATERALITY, VIEW = "111030", "112040", "272741003", "111031"
IMAGE_SIDE = "111027"
SIDES = {"R": "24028007", "L": "7771000"}  # CID 244
BREASTS = {"R": "73056007", "L": "80248007"}  # CID 6022
VIEWS = {"CC": "399162004", "MLO": "399368009"}
# As stored, and turned by 180 degrees: a workstation's settings decide, not the breast.
ORIENTATIONS = (None, ["A", "R"], ["P", "L"], ["A", "FR"], ["P", "FL"], ["P", "HL"])
POSITIVE = [way for way in WAYS if any(v.result.lesions for v in named_views(WAYS[way]))]


@pytest.mark.parametrize("way", POSITIVE)
def test_mask_and_outline_are_the_same_region(way: str):
    made = WAYS[way]
    masks = dict(_masks(made))
    outlines = dict(_outlines(report_of(made)))
    assert masks.keys() == outlines.keys()
    for uid, (image, mask) in masks.items():
        on, points = outlines[uid]
        assert on == image
        rows, columns = mask.shape
        assert points.min() >= 0
        assert (points.max(axis=0) <= (columns, rows)).all()
        # skimage counts from the centre of the first pixel, DICOM from its corner.
        drawn = polygon2mask(mask.shape, points[:, ::-1] - 0.5)
        assert drawn.sum() == pytest.approx(mask.sum(), rel=0.02)
        assert (drawn & mask).sum() / (drawn | mask).sum() > 0.96


@pytest.mark.parametrize("way", POSITIVE)
def test_every_object_tracks_the_same_lesions(way: str):
    made = WAYS[way]
    expected = {uid for uid, _ in _masks(made)}
    assert {s.TrackingUID for ds in _all(made, Role.LABELMAP) for s in ds.SegmentSequence} == (
        expected
    )
    for role in (Role.SR, Role.SR_2D, Role.SR_IMAGE, Role.SR_IMAGE_2D):
        assert {uid for ds in _all(made, role) for uid, _ in _outlines(ds)} == expected, role
    (cad,) = _all(made, Role.CAD_SR)
    assert expected <= {item.UID for item in items(cad) if concept(item) == TRACKING}


@pytest.mark.parametrize("way", POSITIVE)
def test_the_presentation_state_draws_the_outlines_of_the_report(way: str):
    made = WAYS[way]
    drawn = {
        (str(reference.ReferencedSOPInstanceUID), tuple(graphic.GraphicData))
        for ds in _all(made, Role.GSPS)
        for series in ds.ReferencedSeriesSequence
        for reference in series.ReferencedImageSequence
        for annotation in ds.GraphicAnnotationSequence
        for graphic in annotation.get("GraphicObjectSequence", ())
    }
    for image, points in dict(_outlines(report_of(made))).values():
        assert (image, tuple(points.ravel().tolist())) in drawn


@pytest.mark.parametrize("way", WAYS)
def test_whatever_is_referenced_is_in_the_study(way: str):
    made = WAYS[way]
    known = {str(ds.SOPInstanceUID) for ds in made.headers}
    objects = [read(r.content) for r in encoded(made) if r.sop_class_uid]
    known |= {str(ds.SOPInstanceUID) for ds in objects}
    for ds in objects:
        assert set(_references(ds)) <= known, ds.SeriesDescription
        assert ds.StudyInstanceUID == made.run.study_instance_uid


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("view", VIEWS)
def test_side_and_view_are_right_in_every_object(side: str, view: str, orientation: list[str]):
    changes = {} if orientation is None else {"PatientOrientation": orientation}
    other = "L" if side == "R" else "R"
    result = view_result(side, view, (Spot(),), **changes)
    made = analysis(finding(side, result), negative_breast(other))
    key, name = f"{side}-{view}", f"{side} {view}"
    seg = objects_by_view(made, Role.SEG)[key]
    (region,) = seg.SegmentSequence[0].AnatomicRegionSequence
    assert region.AnatomicRegionModifierSequence[0].CodeValue == SIDES[side]
    assert (seg.ImageLaterality, seg.SegmentSequence[0].SegmentLabel[:5].strip()) == (side, name)
    report = report_of(made)
    (group,) = [i for i in items(report) if any(concept(c) == REGION for c in _children(i))]
    assert codes(group, LATERALITY) == [SIDES[side]]
    cad = report_of(made, Role.CAD_SR)
    image = str(result.recombined.SOPInstanceUID)
    (entry,) = [
        item
        for item in items(cad)
        if item.get("ValueType") == "IMAGE"
        and item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == image
    ]
    assert codes(entry, IMAGE_SIDE) == [BREASTS[side]]
    assert codes(entry, VIEW) == [VIEWS[view]]
    for role in (Role.SEG, Role.GSPS, Role.SR_IMAGE):
        assert name in objects_by_view(made, role)[key].SeriesDescription


@pytest.mark.parametrize("way", WAYS)
def test_highdicom_reads_every_object_back(way: str):
    readers = {
        Role.SEG: hd.seg.segread,
        Role.LABELMAP: hd.seg.segread,
        Role.SR: hd.sr.srread,
        Role.SR_2D: hd.sr.srread,
        Role.SR_IMAGE: hd.sr.srread,
        Role.SR_IMAGE_2D: hd.sr.srread,
        Role.KEY_OBJECTS: lambda file: hd.ko.KeyObjectSelectionDocument.from_dataset(
            read(file.getvalue())
        ),
    }
    for result in encoded(WAYS[way]):
        if result.role in readers:
            assert readers[result.role](BytesIO(result.content)).SOPInstanceUID


def _masks(made: Analysis) -> Iterator[tuple[str, tuple[str, np.ndarray]]]:
    """Tracking UID of every segment, its image, its mask as other software reads it."""
    for result in encoded(made):
        if result.role is Role.SEG:
            seg = hd.seg.segread(BytesIO(result.content))
            (source,) = seg.SourceImageSequence
            frames = np.atleast_3d(seg.pixel_array).reshape(-1, seg.Rows, seg.Columns)
            for segment, frame in zip(seg.SegmentSequence, frames, strict=True):
                image = str(source.ReferencedSOPInstanceUID)
                yield str(segment.TrackingUID), (image, frame.astype(bool))


def _outlines(report: Dataset) -> Iterator[tuple[str, tuple[str, np.ndarray]]]:
    """Tracking UID of every group with a region, its image, the region's points."""
    for group in items(report):
        for child in _children(group):
            if concept(child) == REGION:
                (uid,) = [c.UID for c in group.ContentSequence if concept(c) == TRACKING]
                reference = child.ContentSequence[0].ReferencedSOPSequence[0]
                points = np.array(child.GraphicData).reshape(-1, 2)
                yield str(uid), (str(reference.ReferencedSOPInstanceUID), points)


def _children(item: Dataset) -> list[Dataset]:
    return list(item.get("ContentSequence", ()))


def _all(made: Analysis, role: Role) -> list[Dataset]:
    return list(objects_by_view(made, role).values())


def _references(ds: Dataset) -> Iterator[str]:
    """Every referenced SOP Instance UID, however deep."""
    for element in ds.iterall():
        if element.keyword == "ReferencedSOPInstanceUID":
            yield str(element.value)
