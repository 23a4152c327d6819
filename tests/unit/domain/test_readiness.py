"""When an exam is ready, held or of no concern, by what came and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_node.domain.exam import FULL_EXAM
from dicom_node.domain.instance import ImageKind, InstanceHeader
from dicom_node.domain.procedure import Performed
from dicom_node.domain.study import (
    Arrival,
    CompletenessRule,
    Judgement,
    Verdict,
    grid,
    judge,
    missing_images,
    waiting_for,
)
from tests.headers import cem_exam, cem_view, ffdm, header, low_energy, recombined

RULE = CompletenessRule(settle_s=5, quiet_s=60, deadline_s=900)
REPEATABLE = settings(deadline=None, max_examples=150, derandomize=True)
FIRST, LAST = 1000.0, 1020.0
RAW = {"exclusion": "for_processing", "exclusion_text": "raw image for processing"}


def arrival(headers: Sequence[InstanceHeader], *, connected: bool = False) -> Arrival:
    return Arrival(
        headers=headers, first_received_at=FIRST, last_received_at=LAST, association_open=connected
    )


def after(
    seconds: float, headers: Sequence[InstanceHeader], *, connected: bool = False
) -> Judgement:
    """The judgement ``seconds`` after the last image."""
    return judge(arrival(headers, connected=connected), RULE, LAST + seconds)


@pytest.mark.parametrize("connected", [True, False])
def test_a_full_exam_is_ready_at_once(connected: bool) -> None:  # noqa: FBT001 - a parameter
    assert after(0, cem_exam(), connected=connected).verdict is Verdict.READY


def test_a_full_exam_that_was_closed_before_may_get_more_late_images() -> None:
    late = replace(arrival(cem_exam()), reopened=True)
    assert judge(late, RULE, LAST).verdict is Verdict.WAIT
    assert judge(late, RULE, LAST + 5).verdict is Verdict.READY


def test_a_site_says_which_views_a_full_exam_has() -> None:
    rule = replace(RULE, expected_views=("R CC",))
    assert judge(arrival(cem_view("R CC")), rule, LAST).verdict is Verdict.READY
    assert judge(arrival(cem_view("L CC")), rule, LAST).verdict is Verdict.WAIT


def test_a_full_exam_waits_for_the_second_half_of_a_view_that_was_started() -> None:
    rule = replace(RULE, expected_views=("R CC",))
    started = [*cem_view("R CC"), recombined("L CC")]
    assert judge(arrival(started), rule, LAST).verdict is Verdict.WAIT


def test_a_part_of_an_exam_is_ready_when_the_sender_has_gone_and_a_moment_has_passed() -> None:
    part = cem_exam(("R CC", "R MLO"))
    assert after(4.9, part) == Judgement(
        Verdict.WAIT, "waiting for L CC: both images, L MLO: both images", LAST + 5
    )
    assert after(5, part).verdict is Verdict.READY


def test_a_sender_that_is_still_connected_may_send_more_but_not_for_ever() -> None:
    part = cem_exam(("R CC",))
    waiting = after(30, part, connected=True)
    assert (waiting.verdict, waiting.look_again_at) == (Verdict.WAIT, LAST + 60)
    assert after(60, part, connected=True).verdict is Verdict.READY
    assert after(10_000, [recombined()], connected=True).verdict is Verdict.HOLD


def test_an_exam_with_a_half_view_is_ready_after_a_longer_silence() -> None:
    half = [*cem_view("R CC"), recombined("L CC")]
    assert after(59, half).look_again_at == LAST + 60
    assert after(60, half).verdict is Verdict.READY


@pytest.mark.parametrize("lone", [recombined(), low_energy()])
def test_a_lone_image_is_waited_for_until_the_deadline_and_then_held(lone: InstanceHeader) -> None:
    deadline = FIRST + RULE.deadline_s
    waiting = after(60, [lone])
    assert (waiting.verdict, waiting.look_again_at) == (Verdict.WAIT, deadline)
    assert judge(arrival([lone]), RULE, deadline - 1).verdict is Verdict.WAIT
    held = judge(arrival([lone]), RULE, deadline)
    assert held.verdict is Verdict.HOLD
    assert "R CC: " in held.reason


def test_contrast_images_that_cannot_be_analysed_are_reported_not_waited_for() -> None:
    raw = [low_energy(**RAW), recombined(**RAW)]
    assert after(60, raw) == Judgement(Verdict.READY, "no view can be analysed")
    bent = [low_energy(rows=3328), recombined(rows=2294)]
    assert after(60, bent) == Judgement(Verdict.READY, "no view can be analysed")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [ffdm("R CC"), ffdm("L CC")],
        [header(ImageKind.TOMOSYNTHESIS), header(ImageKind.SYNTHETIC), ffdm()],
        [header(ImageKind.NOT_MAMMOGRAPHY)],
    ],
)
def test_a_study_without_contrast_is_of_no_concern(headers: list[InstanceHeader]) -> None:
    assert after(59, headers).verdict is Verdict.WAIT
    assert after(60, headers).verdict is Verdict.IGNORE


def test_tomosynthesis_beside_a_full_exam_delays_nothing() -> None:
    assert after(0, [*cem_exam(), header(ImageKind.TOMOSYNTHESIS)]).verdict is Verdict.READY


STUDIES = st.lists(
    st.builds(
        header,
        st.sampled_from(ImageKind),
        st.sampled_from(["R CC", "L CC", "R MLO", "L MLO"]),
        frame_of_reference_uid=st.sampled_from([None, "1.2.3"]),
        rows=st.sampled_from([3328, 3328, 2294]),
    ),
    max_size=8,
)
SECONDS = st.sampled_from([0.0, 1.0, 4.99, 5.0, 59.99, 60.0, 500.0, 880.0, 900.0, 1e6])
FINAL = {Verdict.READY, Verdict.HOLD, Verdict.IGNORE}


@REPEATABLE
@given(STUDIES, SECONDS, SECONDS, st.booleans())
def test_a_judgement_that_was_final_once_stays_what_it_was(
    headers: list[InstanceHeader], one: float, other: float, again: object
) -> None:
    came = replace(arrival(headers), reopened=bool(again))
    earlier, later = (judge(came, RULE, LAST + pause) for pause in sorted((one, other)))
    if earlier.verdict in FINAL:
        assert later.verdict is earlier.verdict


@REPEATABLE
@given(STUDIES)
def test_no_study_waits_for_ever_once_its_sender_has_gone(headers: list[InstanceHeader]) -> None:
    assert after(60 + RULE.deadline_s, headers).verdict in FINAL


@REPEATABLE
@given(STUDIES, SECONDS, st.booleans())
def test_the_next_look_is_never_in_the_past_and_comes_with_the_next_change(
    headers: list[InstanceHeader],
    seconds: float,
    connected: bool,  # noqa: FBT001 - drawn
) -> None:
    now = LAST + seconds
    judgement = after(seconds, headers, connected=connected)
    assert judgement.reason
    if judgement.verdict in FINAL:
        assert judgement.look_again_at is None
    elif not connected:
        assert judgement.look_again_at is not None
        assert judgement.look_again_at > now
        just_before = (now + judgement.look_again_at) / 2
        assert judge(arrival(headers), RULE, just_before).verdict is Verdict.WAIT


@REPEATABLE
@given(STUDIES, SECONDS)
def test_a_hold_names_what_is_missing(headers: list[InstanceHeader], seconds: float) -> None:
    judgement = after(seconds, headers)
    if judgement.verdict is Verdict.HOLD:
        assert any(missing in judgement.reason for missing in missing_images(headers, ()))


def test_the_grid_shows_every_expected_view_and_every_other_that_was_started() -> None:
    headers = [*cem_view("L MLO"), recombined("R CC"), recombined("R ML"), ffdm("L CC")]
    cells = {cell.name: cell for cell in grid(headers, FULL_EXAM)}
    assert list(cells) == ["R CC", "L CC", "R MLO", "L MLO", "R ML"]
    assert (cells["R CC"].low_energy, cells["R CC"].recombined) == (False, True)
    assert cells["L MLO"].paired
    assert (cells["L CC"].low_energy, cells["L CC"].recombined) == (False, False)
    assert missing_images(headers, FULL_EXAM) == (
        "R CC: low-energy image",
        "L CC: both images",
        "R MLO: both images",
        "R ML: low-energy image",
    )


def test_a_full_grid_waits_for_nothing_in_particular() -> None:
    assert waiting_for(cem_exam(), FULL_EXAM) == "waiting for more images"
    assert waiting_for([low_energy("L CC")], ()) == "waiting for L CC: recombined image"


DONE = Performed(finished=True, discontinued=False, named=4, missing=0)


@pytest.mark.parametrize("connected", [True, False])
def test_what_the_modality_names_is_whole_at_once(connected: bool) -> None:  # noqa: FBT001 - a parameter
    told = replace(arrival(cem_view(), connected=connected), performed=DONE)
    assert judge(told, RULE, LAST).verdict is Verdict.READY


@pytest.mark.parametrize(
    "performed", [replace(DONE, missing=1), replace(DONE, finished=False)], ids=["missing", "busy"]
)
def test_an_exam_of_which_more_is_to_come_does_not_settle(performed: Performed) -> None:
    told = replace(arrival(cem_view()), performed=performed)
    settled = judge(told, RULE, LAST + RULE.settle_s)
    assert settled.verdict is Verdict.WAIT
    assert settled.look_again_at == LAST + RULE.quiet_s
    assert judge(told, RULE, LAST + RULE.quiet_s).verdict is Verdict.READY


@pytest.mark.parametrize("missing", [0, 3])
def test_a_step_that_was_broken_off_does_not_wait_for_what_it_never_made(missing: int) -> None:
    broken = Performed(finished=True, discontinued=True, named=missing, missing=missing)
    told = replace(arrival([low_energy()]), performed=broken)
    waits = judge(told, RULE, LAST)
    assert (waits.verdict, waits.look_again_at) == (Verdict.WAIT, LAST + RULE.settle_s)
    assert judge(told, RULE, LAST + RULE.settle_s).verdict is Verdict.HOLD


def test_plain_mammograms_are_let_go_as_soon_as_the_modality_is_done() -> None:
    told = replace(arrival([ffdm()]), performed=replace(DONE, named=1))
    assert judge(told, RULE, LAST).verdict is Verdict.IGNORE


def test_a_modality_that_names_nothing_changes_nothing() -> None:
    silent = replace(arrival([low_energy()]), performed=replace(DONE, named=0))
    for seconds in (0, 5, 60, 900):
        assert judge(silent, RULE, LAST + seconds).verdict is after(seconds, [low_energy()]).verdict
