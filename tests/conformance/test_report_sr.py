"""Reports say what was found, what was not looked at, why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from skimage.draw import polygon2mask

from tests.analysis_builders import (
    WAYS,
    analysis,
    encoded,
    finding,
    view_result,
)
from tests.report_reader import (
    code,
    codes,
    concept,
    evidence_of,
    items,
    lesion_groups,
    read,
    report_of,
    texts,
)
from worker.contracts import Role, Status
from worker.report.encode import encode
from worker.report.outline import area

POSITIVE = [
    way for way, made in WAYS.items() if any(v.lesions for f in made.findings for v in f.views)
]
SUMMARY = "111017"
COMMENT, CONCLUSION = "121106", "121077"


@pytest.mark.parametrize("way", POSITIVE)
def test_highdicom_reads_every_lesion_back_with_its_numbers(way: str):
    made = WAYS[way]
    lesions = [
        (f, view, lesion) for f in made.findings for view in f.views for lesion in view.lesions
    ]
    groups = lesion_groups(made)
    assert len(groups) == len(lesions)
    for group, (found, view, lesion) in zip(groups, lesions, strict=True):
        numbers = {m.name.value: m.value for m in group.get_measurements()}
        expected = {"111047": round(100 * found.p_malignant, 1)}
        if lesion.area_mm2 is not None:
            expected |= {
                "42798000": round(lesion.area_mm2, 1),
                "103339001": round(lesion.long_axis_mm, 1),
            }
        assert numbers == expected
        (site,) = group.finding_sites
        assert site.laterality.meaning == {"R": "Right", "L": "Left"}[view.pair.laterality]
        assert group.finding_type.value == "C113842"
        (impression,) = group.get_qualitative_evaluations(name=code("111023"))
        assert impression.value.meaning.lower() == found.decision


@pytest.mark.parametrize("way", POSITIVE)
def test_regions_lie_inside_their_image_around_the_mask(way: str):
    made = WAYS[way]
    lesions = [(v, lesion) for f in made.findings for v in f.views for lesion in v.lesions]
    for group, (view, lesion) in zip(lesion_groups(made), lesions, strict=True):
        points = group.roi.value
        rows, columns = lesion.mask.shape
        assert np.array_equal(points[0], points[-1])
        assert 50 <= len(points) <= 101
        assert points.min() >= 0
        assert points[:, 0].max() <= columns
        assert points[:, 1].max() <= rows
        assert area(points) == pytest.approx(lesion.mask.sum(), rel=0.02)
        # Pixel centres are at .5 in SCOORD (C.18.6) and at whole numbers in scikit-image.
        drawn = polygon2mask(lesion.mask.shape, points[:, ::-1] - 0.5)
        assert 2 * (drawn & lesion.mask).sum() / (drawn.sum() + lesion.mask.sum()) > 0.98
        if lesion.area_px > 2000:  # half a pixel of shift would show
            centres = [np.argwhere(mask).mean(axis=0) for mask in (drawn, lesion.mask)]
            assert centres[0] == pytest.approx(centres[1], abs=0.25)
        image = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
        assert image.ReferencedSOPInstanceUID == view.recombined.SOPInstanceUID


@pytest.mark.parametrize("way", POSITIVE)
def test_the_report_and_the_segments_track_the_same_lesions(way: str):
    segs = [read(r.content) for r in encoded(WAYS[way]) if r.role is Role.SEG]
    segments = [(s.TrackingID, s.TrackingUID) for ds in segs for s in ds.SegmentSequence]
    groups = [(g.tracking_identifier, g.tracking_uid) for g in lesion_groups(WAYS[way])]
    assert groups == segments
    every = [item.UID for item in items(report_of(WAYS[way])) if concept(item) == "112040"]
    assert len(every) == len(set(every)) > len(groups)


@pytest.mark.parametrize("way", WAYS)
def test_every_reference_is_to_the_study_or_to_the_results(way: str):
    made = WAYS[way]
    results = encoded(made)
    headers = [
        *made.headers,
        *(ds for f in made.findings for v in f.views for ds in (v.low_energy, v.recombined)),
    ]
    known = {str(ds.SOPInstanceUID) for ds in headers}
    known |= {r.sop_instance_uid for r in results if r.role is Role.SEG}
    report = report_of(made)
    evidence = evidence_of(report)
    assert evidence == known
    in_tree = {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in items(report)
        if "ReferencedSOPSequence" in item
    }
    assert in_tree <= evidence


@pytest.mark.parametrize("way", WAYS)
def test_every_report_is_a_preliminary_unverified_one(way: str):
    report = report_of(WAYS[way])
    complete = WAYS[way].status is Status.COMPLETE
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert report.CompletionFlag == ("COMPLETE" if complete else "PARTIAL")
    assert report.VerificationFlag == "UNVERIFIED"
    assert report.PreliminaryFlag == "PRELIMINARY"
    assert report.ConceptNameCodeSequence[0].CodeValue == "126000"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert any("Research use, not for diagnosis" in words for words in texts(report, COMMENT))


def test_a_negative_exam_says_so_for_each_breast():
    report = report_of(WAYS["negative"])
    assert codes(report, SUMMARY) == ["111241", "111241", "111241"]
    (conclusion,) = texts(report, CONCLUSION)
    assert conclusion == (
        "Right breast (CC, MLO): no lesion found. Left breast (CC, MLO): no lesion found."
    )
    assert not any(item.ValueType == "SCOORD" for item in items(report))


@pytest.mark.parametrize("way", POSITIVE)
def test_only_groups_with_a_region_are_imaging_measurements(way: str):
    """OHIF 3.13 draws nothing when one group there has none."""
    (measurements,) = [i for i in items(report_of(WAYS[way])) if concept(i) == "126010"]
    for group in measurements.ContentSequence:
        assert any(item.ValueType == "SCOORD" for item in group.ContentSequence)


def test_each_breast_has_a_group_with_its_probability_and_its_images():
    made = WAYS["positive both breasts"]
    groups = [
        item
        for item in items(report_of(made))
        if "ContentTemplateSequence" in item
        and item.ContentTemplateSequence[0].TemplateIdentifier == "1501"
    ]
    assert len(groups) == len(made.findings)
    for group, found in zip(groups, made.findings, strict=True):
        (number,) = [i for i in group.ContentSequence if i.ValueType == "NUM"]
        assert number.MeasuredValueSequence[0].NumericValue == round(100 * found.p_malignant, 1)
        images = [i for i in group.ContentSequence if i.ValueType == "IMAGE"]
        assert len(images) == 2 * len(found.views)
        assert codes(group, "272741003") == [{"R": "24028007", "L": "7771000"}[found.laterality]]
        assert codes(group, SUMMARY) == ["111242"]


def test_a_partial_exam_names_what_is_missing_and_is_no_full_negative():
    report = report_of(WAYS["partial"])
    # the exam, the right breast with a finding in one of its views, the left not analysed
    assert codes(report, SUMMARY) == ["111244", "111244", "111245"]
    comments = texts(report, COMMENT)
    assert "Missing: R MLO: low-energy image." in comments
    assert any(words.startswith("Right breast: only CC was analysed") for words in comments)
    assert "Left breast: not analysed. Nothing is said about this breast." in comments
    assert texts(report, CONCLUSION)[0].startswith(
        "The analysis is incomplete: R MLO has no low-energy image."
    )


def test_an_incomplete_breast_without_a_lesion_is_not_reported_as_negative():
    made = analysis(
        finding("R", view_result("R", "CC", ())),
        status=Status.PARTIAL,
        reason="a view is missing",
        missing=("R MLO: recombined image",),
    )
    assert codes(report_of(made), SUMMARY) == ["111243", "111243"]


@pytest.mark.parametrize(
    ("way", "outcome"),
    [("unsuitable", "111225"), ("failed", "111224"), ("failed without an image", "111224")],
)
def test_an_exam_that_could_not_be_analysed_says_so_and_why(way: str, outcome: str):
    report = report_of(WAYS[way])
    assert codes(report, SUMMARY) == ["111245"]
    assert codes(report, "111065") == [outcome]
    (conclusion,) = texts(report, CONCLUSION)
    assert conclusion.startswith("This exam could not be analysed")
    assert WAYS[way].reason in conclusion
    assert conclusion.endswith("This is not a negative result.")
    if WAYS[way].reason_code:
        assert f"Reason code: {WAYS[way].reason_code}" in texts(report, COMMENT)


def test_an_analysis_without_any_breast_is_not_reported_as_negative():
    report = report_of(analysis())
    assert codes(report, SUMMARY) == ["111245"]
    assert texts(report, CONCLUSION) == ["No breast was analysed. This is not a negative result."]


def test_without_any_header_there_is_no_report():
    made = replace(WAYS["failed"], headers=())
    with pytest.raises(ValueError, match="no readable header"):
        encode(made)


def test_a_header_without_pixels_is_evidence_but_no_image():
    report = report_of(WAYS["failed without an image"])
    assert not any(item.ValueType == "IMAGE" for item in items(report))
