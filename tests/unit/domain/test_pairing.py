"""Which images belong together, and what becomes of the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from dicom_node.domain.exam import Exam, geometry_difference, pair
from dicom_node.domain.instance import ImageKind, InstanceHeader
from tests.headers import NOON, cem_exam, cem_view, ffdm, low_energy, recombined, uid


def _source(first: InstanceHeader, second: InstanceHeader) -> list[InstanceHeader]:
    return [first, replace(second, source_sop_instance_uids=(first.sop_instance_uid,))]


def _common(**values: Any) -> list[InstanceHeader]:
    return [low_energy(**values), recombined(**values)]


@pytest.mark.parametrize(
    ("images", "evidence"),
    [
        (_source(low_energy(), recombined()), "Source Image Sequence"),
        (_common(frame_of_reference_uid="1.2.3"), "Frame of Reference UID"),
        (_common(irradiation_event_uids=("1.2", "1.3")), "Irradiation Event or Acquisition UID"),
        (_common(acquisition_uid="1.2.5"), "Irradiation Event or Acquisition UID"),
        (
            [
                low_energy(acquired_at=NOON, device="A"),
                recombined(acquired_at=NOON + 60, device="A"),
            ],
            "acquisition time and device",
        ),
        ([low_energy(acquired_at=NOON), recombined(device="A")], "one of each in this view"),
    ],
)
def test_two_images_are_matched_by_the_strongest_evidence_there_is(
    images: list[InstanceHeader], evidence: str
) -> None:
    strangers = [
        low_energy(frame_of_reference_uid="2.1", acquired_at=NOON + 5000),
        recombined(frame_of_reference_uid="2.1", acquired_at=NOON + 5000),
    ]
    assert [view.evidence for view in pair(images).views] == [evidence]
    if evidence != "one of each in this view":
        assert len(pair([*images, *strangers]).views) == 1
        assert Counter(e.code for e in pair([*images, *strangers]).excluded) == {"earlier_phase": 2}


def test_a_named_source_beats_a_common_frame_of_reference() -> None:
    named, decoy = low_energy(), low_energy(frame_of_reference_uid="1.2.3")
    result = recombined(
        source_sop_instance_uids=(named.sop_instance_uid,), frame_of_reference_uid="1.2.3"
    )
    exam = pair([decoy, named, result])
    assert exam.views[0].low_energy == named
    assert [(e.sop_instance_uid, e.code) for e in exam.excluded] == [
        (decoy.sop_instance_uid, "no_recombined")
    ]


def test_evidence_that_points_to_two_partners_is_not_used() -> None:
    images = [low_energy(frame_of_reference_uid="1.2.3") for _ in range(2)]
    exam = pair([*images, recombined(frame_of_reference_uid="1.2.3")])
    assert exam.views == ()
    assert Counter(e.code for e in exam.excluded) == {"no_recombined": 2, "no_low_energy": 1}


def test_evidence_that_comes_from_two_partners_is_not_used() -> None:
    images = [recombined(frame_of_reference_uid="1.2.3") for _ in range(2)]
    exam = pair([*images, low_energy(frame_of_reference_uid="1.2.3")])
    assert exam.views == ()
    assert Counter(e.code for e in exam.excluded) == {"no_recombined": 1, "no_low_energy": 2}


def test_a_plain_mammogram_does_not_settle_which_of_two_low_energy_images_is_meant() -> None:
    unsure = [low_energy(acquired_at=NOON), low_energy(acquired_at=NOON)]
    exam = pair([*unsure, recombined(acquired_at=NOON), ffdm(acquired_at=NOON)])
    assert exam.views == ()


def test_weaker_evidence_decides_where_stronger_is_ambiguous() -> None:
    early = _common(frame_of_reference_uid="1.2.3", acquisition_uid="1.1", acquired_at=NOON)
    late = _common(frame_of_reference_uid="1.2.3", acquisition_uid="1.2", acquired_at=NOON + 400)
    exam = pair(early + late)
    assert [(v.low_energy, v.recombined) for v in exam.views] == [tuple(late)]
    assert exam.views[0].evidence == "Irradiation Event or Acquisition UID"


@pytest.mark.parametrize(
    ("seconds", "devices"),
    [(61.0, ("A", "A")), (5.0, ("A", "B"))],
    ids=["too late", "other device"],
)
def test_time_ties_images_only_within_a_minute_and_on_one_device(
    seconds: float, devices: tuple[str, str]
) -> None:
    pairs = [
        [
            low_energy(acquired_at=start, device=devices[0]),
            recombined(acquired_at=start + seconds, device=devices[1]),
        ]
        for start in (NOON, NOON + 9000)
    ]
    assert pair([image for images in pairs for image in images]).views == ()


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ({"rows": 2294}, "matrix"),
        ({"columns": 1914}, "matrix"),
        ({"spacing_mm": (0.0708, 0.07)}, "pixel spacing"),
        ({"patient_orientation": ("P", "R")}, "patient orientation"),
        ({"field_of_view": ("0", "YES")}, "field of view"),
    ],
)
def test_images_on_different_grids_are_not_a_pair(difference: dict[str, Any], words: str) -> None:
    first = low_energy(patient_orientation=("P", "L"), field_of_view=("0", "NO"))
    second = recombined(patient_orientation=("P", "L"), field_of_view=("0", "NO"))
    assert len(pair([first, second]).views) == 1
    exam = pair([first, replace(second, **difference)])
    assert exam.views == ()
    assert {excluded.code for excluded in exam.excluded} == {"geometry"}
    assert all(words in excluded.reason for excluded in exam.excluded)


@pytest.mark.parametrize(
    "silent", [{"spacing_mm": None}, {"patient_orientation": ()}, {"field_of_view": ()}]
)
def test_what_one_header_does_not_say_keeps_no_pair_apart(silent: dict[str, Any]) -> None:
    first = low_energy(patient_orientation=("P", "L"), field_of_view=("0", "NO"))
    second = recombined(patient_orientation=("P", "L"), field_of_view=("0", "NO"))
    assert len(pair([first, replace(second, **silent)]).views) == 1


def test_spacings_within_one_percent_are_the_same_grid() -> None:
    assert geometry_difference(low_energy(), recombined(spacing_mm=(0.0706, 0.0695))) == ""


def test_of_two_phases_the_newer_is_analysed_and_the_older_is_named() -> None:
    early, late = cem_view(acquired_at=NOON), cem_view(acquired_at=NOON + 420)
    exam = pair(late + early)
    assert [(v.low_energy, v.recombined) for v in exam.views] == [tuple(late)]
    assert {e.sop_instance_uid: e.code for e in exam.excluded} == {
        image.sop_instance_uid: "earlier_phase" for image in early
    }


def test_a_plain_mammogram_of_the_same_minute_stands_in_for_the_low_energy_image() -> None:
    plain, second = ffdm(acquired_at=NOON), recombined(acquired_at=NOON + 10)
    exam = pair([plain, second])
    assert exam.views[0].low_energy == replace(plain, kind=ImageKind.LOW_ENERGY, kind_weak=True)
    assert exam.views[0].weak


@pytest.mark.parametrize(
    "others",
    [
        [ffdm(acquired_at=NOON + 3600)],
        [ffdm()],
        [ffdm(acquired_at=NOON), ffdm(acquired_at=NOON + 1)],
        [ffdm("L CC", acquired_at=NOON)],
    ],
    ids=["hours away", "without a time", "two of them", "of the other breast"],
)
def test_a_plain_mammogram_stands_in_only_when_nothing_contradicts(
    others: list[InstanceHeader],
) -> None:
    exam = pair([*others, recombined(acquired_at=NOON)])
    assert exam.views == ()
    assert Counter(e.code for e in exam.excluded) == {"not_cem": len(others), "no_low_energy": 1}


def test_a_real_low_energy_image_is_preferred_to_a_plain_mammogram() -> None:
    first, second = cem_view(acquired_at=NOON)
    plain = ffdm(acquired_at=NOON)
    exam = pair([plain, first, second])
    assert exam.views[0].low_energy == first
    assert not exam.views[0].weak
    assert [e.code for e in exam.excluded] == ["not_cem"]


def test_a_guessed_kind_makes_a_weak_pair() -> None:
    assert pair([low_energy(), recombined(kind_weak=True)]).views[0].weak


def test_tiles_of_a_large_breast_are_paired_tile_by_tile() -> None:
    tiles = cem_view(partial_view=("112180",)) + cem_view(partial_view=("112181",))
    assert len(pair(tiles).views) == 2


def test_images_of_two_studies_are_never_a_pair() -> None:
    other = recombined(frame_of_reference_uid="1.2.3", study_instance_uid=uid("another study"))
    assert pair([low_energy(frame_of_reference_uid="1.2.3"), other]).views == ()


def test_a_full_exam_lists_its_views_in_the_order_in_which_people_hang_them() -> None:
    exam = pair(reversed(cem_exam()))
    assert [view.name for view in exam.views] == ["R CC", "L CC", "R MLO", "L MLO"]
    assert exam.names == {"R CC", "L CC", "R MLO", "L MLO"}
    assert exam.excluded == ()


def test_nothing_is_an_exam_without_views() -> None:
    assert pair([]) == Exam((), ())


def test_images_of_two_patients_are_never_one_pair() -> None:
    mixed = pair([low_energy(patient_id="ANNA"), recombined(patient_id="BERTA")])
    assert mixed.views == ()
    assert {e.code for e in mixed.excluded} == {"no_low_energy", "no_recombined"}
