"""The profile that a peer's answers lead to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.domain.offers import (
    CLASSES,
    COMMITMENT,
    OFFERS,
    SR_CLASSES,
    STUDY_FIND,
    Profile,
    not_taken,
    proposal,
    refusal_words,
)
from dicom_node.domain.outputs import DEFAULT_OUTPUTS, Output, SrClass

EVERYTHING = [sop_class for _, sop_class in OFFERS]


def test_a_peer_that_takes_everything_gets_more_than_the_defaults_and_is_asked_for_commitment() -> (
    None
):
    found = proposal(EVERYTHING)
    assert set(found.outputs) == {*DEFAULT_OUTPUTS, Output.CAD_SR}
    assert found.lines == (
        'outputs = ["seg", "sr", "cad_sr", "gsps", "sc", "key_objects"]',
        'confirm = "commitment"',
    )


@pytest.mark.parametrize(
    ("taken", "sr_class", "line"),
    [
        (list(SrClass), SrClass.COMPREHENSIVE_3D, False),
        ([SrClass.COMPREHENSIVE_3D], SrClass.COMPREHENSIVE_3D, False),
        ([SrClass.COMPREHENSIVE], SrClass.COMPREHENSIVE, True),
    ],
)
def test_the_older_report_is_proposed_only_where_the_newer_is_not_taken(
    taken: list[SrClass], sr_class: SrClass, *, line: bool
) -> None:
    found = proposal([SR_CLASSES[one] for one in taken])
    assert (found.outputs, found.sr_class) == ((Output.SR,), sr_class)
    assert ('sr_class = "comprehensive"' in found.lines) is line


def test_the_label_map_takes_the_place_of_a_segmentation_that_is_not_taken() -> None:
    label_map = CLASSES[Output.LABELMAP]
    assert proposal([label_map]).outputs == (Output.LABELMAP,)
    assert proposal([label_map, CLASSES[Output.SEG]]).outputs == (Output.SEG,)


def test_a_peer_that_takes_nothing_gets_no_line() -> None:
    assert proposal([]).lines == ()


@given(st.sets(st.sampled_from(EVERYTHING)))
def test_what_is_proposed_is_always_taken(taken: set[str]) -> None:
    assert not_taken(proposal(taken), taken) == ()


def test_what_the_settings_ask_in_vain_is_named() -> None:
    asked = Profile(
        outputs=(Output.SR, Output.SC),
        sr_class=SrClass.COMPREHENSIVE,
        commitment=True,
        queries=True,
    )
    assert not_taken(asked, EVERYTHING) == ()
    assert not_taken(asked, [SR_CLASSES[SrClass.COMPREHENSIVE_3D]]) == (
        "Comprehensive SR", "Secondary Capture", "Storage Commitment", "Study Root C-FIND",
    )  # fmt: skip
    assert not_taken(asked, set(EVERYTHING) - {COMMITMENT, STUDY_FIND}) == (
        "Storage Commitment", "Study Root C-FIND",
    )  # fmt: skip


def test_every_reason_of_a_refused_context_has_words() -> None:
    assert len({refusal_words(result) for result in (1, 2, 3, 4)}) == 4
    assert refusal_words(None) == refusal_words(77) == "refused"
