"""CAD reports say what the TID 1500 report says, in the form of TID 4000."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_node.domain.exam import Excluded
from tests.analysis_builders import WAYS, Spot, analysis, finding, right_breast, view_result
from tests.cad_reader import (
    CENTER,
    at,
    cad_of,
    graphic,
    images_of,
    linked,
    number,
    status,
    uid_of,
    uids,
)
from tests.mammogram_headers import header
from tests.report_reader import codes, concept, evidence_of, items, lesion_groups, report_of, texts
from worker.contracts import Status
from worker.report.cad_findings import centre

POSITIVE = [
    way for way, made in WAYS.items() if any(v.lesions for f in made.findings for v in f.views)
]
FINDING, COMPOSITE, IMPRESSION = "111059", "111015", "111034"
OUTLINE, PATH = "111041", "121055"
SUMMARY, DETECTIONS, ANALYSES = "111017", "111064", "111065"
SUCCESSFUL, FAILED, SUCCESSFUL_ANALYSES = "111063", "111025", "111062"
SUCCEEDED, PARTLY, FAILURE, NOT_ATTEMPTED = "111222", "111223", "111224", "111225"
PROBABILITY = "111047"


@pytest.mark.parametrize("way", WAYS)
def test_every_exam_has_a_preliminary_unverified_cad_report(way: str):
    report = cad_of(WAYS[way])
    complete = WAYS[way].status is Status.COMPLETE
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.50"
    assert report.Modality == "SR"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "4000"
    assert report.CompletionFlag == ("COMPLETE" if complete else "PARTIAL")
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert [concept(item) for item in report.ContentSequence] == [
        "121049", "111028", SUMMARY, DETECTIONS, ANALYSES,
    ]  # fmt: skip
    assert codes(report, SUMMARY) == codes(report_of(WAYS[way]), SUMMARY)[:1]
    assert not any(concept(item) == "111005" for item in items(report))  # no BI-RADS category


@pytest.mark.parametrize("way", WAYS)
def test_links_lead_to_images_that_are_evidence(way: str):
    report = cad_of(WAYS[way])
    evidence = evidence_of(report)
    assert {str(ds.SOPInstanceUID) for ds in WAYS[way].headers} <= evidence
    assert {uid_of(image) for image in images_of(report)} <= evidence
    for item in items(report):
        if "ReferencedContentItemIdentifier" in item:
            target = at(report, item.ReferencedContentItemIdentifier)
            assert (target.ValueType, target.RelationshipType) == ("IMAGE", "CONTAINS")
            assert "ValueType" not in item
    # Outside the library nothing names an image by value: TID 4000 has links alone.
    named = [item for item in items(report) if "ReferencedSOPSequence" in item]
    assert len(named) == len(images_of(report)) > 0


@pytest.mark.parametrize("way", POSITIVE)
def test_findings_are_the_reports_lesions_point_for_point(way: str):
    made = WAYS[way]
    report = cad_of(made)
    found = [item for item in items(report) if concept(item) == FINDING]
    lesions = [(v, lesion) for f in made.findings for v in f.views for lesion in v.lesions]
    groups = lesion_groups(made)
    assert len(found) == len(lesions) == len(groups)
    for item, (view, lesion), group in zip(found, lesions, groups, strict=True):
        assert item.ConceptCodeSequence[0].CodeValue == "129793001"  # CID 6014 has no mass
        outline = graphic(report, item, OUTLINE, view.recombined)
        assert np.array_equal(outline, group.roi.value.astype(np.float32))
        ((column, row),) = graphic(report, item, CENTER, view.recombined)
        assert lesion.mask[int(row), int(column)]
        middle = np.argwhere(lesion.mask).mean(axis=0) + 0.5
        assert (row, column) == pytest.approx(tuple(middle), abs=0.01)
        numbers = {m.name.value: m.value for m in group.get_measurements()}
        assert number(item, PROBABILITY) == numbers[PROBABILITY]
        assert texts(item, "112039") == [group.tracking_identifier]
        assert uids(item, "112040") == [group.tracking_uid]
        assert codes(item, "111056") == ["111150"]  # presentation required
        assert texts(item, "111001") == ["FAPS"]
        assert texts(item, "111003") == ["0.1.0"]
        if lesion.long_axis_mm is not None:
            assert number(item, "103339001") == numbers["103339001"]
            (axis,) = [child for child in item.ContentSequence if concept(child) == "103339001"]
            ends = graphic(report, axis, PATH, view.recombined)
            assert ends == pytest.approx(np.array(lesion.long_axis))


@pytest.mark.parametrize("way", POSITIVE)
def test_every_point_lies_inside_its_image(way: str):
    report = cad_of(WAYS[way])
    shapes = {str(ds.SOPInstanceUID): (ds.Columns, ds.Rows) for ds in WAYS[way].headers}
    for item in items(report):
        if item.get("ValueType") == "SCOORD":
            (link,) = item.ContentSequence
            shape = shapes[uid_of(at(report, link.ReferencedContentItemIdentifier))]
            points = np.reshape(item.GraphicData, (-1, 2))
            assert (points >= 0).all()
            assert (points <= shape).all()


def test_the_image_library_says_how_each_analysed_image_lies():
    made = WAYS["positive one breast"]
    entries = images_of(cad_of(made))
    assert len(entries) == len(made.headers)
    assert uid_of(entries[0]) == made.findings[0].views[0].recombined.SOPInstanceUID
    assert uid_of(entries[1]) == made.findings[0].views[0].low_energy.SOPInstanceUID
    first = entries[0]
    assert codes(first, "111027") == ["73056007"]  # right breast, CID 6022
    assert codes(first, "111031") == ["399162004"]
    assert texts(first, "111044") == ["P"]
    assert texts(first, "111043") == ["L"]
    (day,) = [item.Date for item in items(first) if concept(item) == "111060"]
    (time,) = [item.Time for item in items(first) if concept(item) == "111061"]
    assert (day, time) == ("20260304", "040102")
    assert number(first, "111026") == number(first, "111066") == 280  # um at the detector
    assert codes(entries[-1], "111027") == ["80248007"]


def test_pixels_that_are_not_square_and_view_modifiers_keep_their_place():
    def modified(value: str) -> Sequence:
        view = header().ViewCodeSequence[0]
        modifier = Dataset()
        modifier.CodeValue, modifier.CodingSchemeDesignator = value, "SRT"
        view.ViewModifierCodeSequence = Sequence([modifier])
        return Sequence([view])

    made = analysis(
        finding(
            "R",
            view_result(ImagerPixelSpacing=[0.07, 0.1], ViewCodeSequence=modified("R-102D1")),
        )
    )
    entry = images_of(cad_of(made))[0]
    assert (number(entry, "111026"), number(entry, "111066")) == (100, 70)  # columns, rows
    assert codes(entry, "111032") == ["399011000"]


def test_a_sparse_header_is_an_image_without_more_words():
    entry = images_of(cad_of(WAYS["a sparse header"]))[0]
    assert {concept(item) for item in items(entry)} == {"111027", "111060", "111026", "111066"}


def test_one_lesion_in_each_view_of_a_breast_is_one_feature_of_two_findings():
    report = cad_of(WAYS["positive one breast"])
    (feature,) = [item for item in items(report) if concept(item) == COMPOSITE]
    assert feature.ConceptCodeSequence[0].CodeValue == "129788004"  # mass
    assert codes(feature, "111016") == ["111154"]  # related spatially
    assert codes(feature, "111057") == ["111158"]  # on multiple images
    assert number(feature, PROBABILITY) == 87.3
    found = [item for item in feature.ContentSequence if concept(item) == FINDING]
    assert {item.RelationshipType for item in found} == {"INFERRED FROM"}
    assert len(found) == 2
    tracked = uids(report, "112040")
    assert len(tracked) == len(set(tracked)) == 3


@pytest.mark.parametrize(
    "views",
    [
        [view_result("R", "CC")],
        [view_result("R", "CC"), view_result("R", "MLO", ())],
        [view_result("R", "CC", (Spot(), Spot(y=600.0))), view_result("R", "MLO")],
        [view_result("R", "CC"), view_result("R", "CC")],
    ],
    ids=["one view", "none in MLO", "two in CC", "CC twice"],
)
def test_other_lesions_stand_for_themselves(views: list):
    report = cad_of(analysis(finding("R", *views)))
    assert not any(concept(item) == COMPOSITE for item in items(report))
    (impression,) = [item for item in items(report) if concept(item) == IMPRESSION]
    found = [item for item in impression.ContentSequence if concept(item) == FINDING]
    assert len(found) == sum(len(view.lesions) for view in views)
    assert {item.RelationshipType for item in found} == {"CONTAINS"}


def test_each_breast_with_a_lesion_has_its_own_impression():
    report = cad_of(WAYS["positive both breasts"])
    found = [item for item in items(report) if concept(item) == IMPRESSION]
    assert [number(item, PROBABILITY) for item in found] == [87.3, 20.0]
    assert [codes(item, COMPOSITE) for item in found] == [["129788004"], []]


def test_a_breast_that_was_not_assessed_has_marks_without_a_probability():
    report = cad_of(analysis(replace(right_breast(), p_malignant=None, decision="not_assessed")))
    assert len(codes(report, FINDING)) == 2
    assert not any(concept(item) == PROBABILITY for item in items(report))
    assert status(report, ANALYSES) == NOT_ATTEMPTED
    assert status(report, DETECTIONS) == SUCCEEDED


def test_a_lesion_like_a_ring_has_its_centre_on_the_ring():
    rows, columns = np.mgrid[0:100, 0:120]
    reach = np.hypot(rows - 50, columns - 60)
    mask = (reach > 20) & (reach < 30) & (columns > 45)
    ((column, row),) = centre(mask)
    assert mask[int(row), int(column)]
    assert (column % 1, row % 1) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("way", "summary", "detections", "analyses"),
    [
        ("positive one breast", "111242", SUCCEEDED, SUCCEEDED),
        ("negative", "111241", SUCCEEDED, NOT_ATTEMPTED),
        ("partial", "111244", SUCCEEDED, SUCCEEDED),
        ("unsuitable", "111245", NOT_ATTEMPTED, NOT_ATTEMPTED),
        ("failed", "111245", FAILURE, NOT_ATTEMPTED),
        ("failed without an image", "111245", FAILURE, NOT_ATTEMPTED),
    ],
)
def test_the_summaries_say_how_it_ended(way: str, summary: str, detections: str, analyses: str):
    report = cad_of(WAYS[way])
    assert codes(report, SUMMARY) == [summary]
    assert (status(report, DETECTIONS), status(report, ANALYSES)) == (detections, analyses)
    (words,) = texts(report, "111033")
    assert "Research use, not for diagnosis" in words
    assert WAYS[way].reason in words
    assert ("This is not a negative result." in words) == (summary == "111245")


def test_detection_names_every_image_it_saw_analysis_those_with_a_probability():
    made = WAYS["positive one breast"]
    report = cad_of(made)
    every = [str(ds.SOPInstanceUID) for ds in made.headers]
    right = [
        str(ds.SOPInstanceUID)
        for view in made.findings[0].views
        for ds in (view.recombined, view.low_energy)
    ]
    assert sorted(linked(report, SUCCESSFUL)) == sorted(every)
    assert linked(report, SUCCESSFUL_ANALYSES) == right
    assert linked(report, FAILED) == []


def test_an_image_that_could_not_be_analysed_makes_the_detection_succeed_partly():
    view = view_result("R", "CC", ())
    damaged, other = header("R", "MLO"), header("L", "CC")
    made = analysis(
        finding("R", view),
        status=Status.PARTIAL,
        reason="R MLO cannot be decoded",
        headers=(view.low_energy, view.recombined, damaged, other),
        excluded=(
            Excluded(str(damaged.SOPInstanceUID), "pixel_decode", "R MLO: no picture"),
            Excluded(str(other.SOPInstanceUID), "high_energy", "not analysed"),
        ),
    )
    report = cad_of(made)
    assert codes(report, SUMMARY) == ["111243"]
    assert status(report, DETECTIONS) == PARTLY
    seen = [str(view.recombined.SOPInstanceUID), str(view.low_energy.SOPInstanceUID)]
    assert linked(report, SUCCESSFUL) == seen
    assert linked(report, FAILED) == [str(damaged.SOPInstanceUID)]
    # What nobody meant to look at is evidence, but no image of the report.
    assert [uid_of(image) for image in images_of(report)] == [*seen, str(damaged.SOPInstanceUID)]
    assert str(other.SOPInstanceUID) in evidence_of(report)
