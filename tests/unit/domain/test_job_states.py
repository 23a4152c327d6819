"""The life of an analysis, walked through every state and every event."""

from __future__ import annotations

import itertools

import pytest

from dicom_node.domain.job import (
    NEEDS_A_PERSON,
    TRANSITIONS,
    IllegalEventError,
    JobEvent,
    JobState,
    advance,
)

# Written a second time, as sentences one can check by eye; everything else must raise.
LEGAL = {
    ("queued", "claimed"): "analysing",
    ("queued", "hold"): "held",
    ("queued", "gave_up"): "failed",
    ("analysing", "claimed"): "analysing",
    ("analysing", "lease_lost"): "queued",
    ("analysing", "retry"): "queued",
    ("analysing", "results_stored"): "analysed",
    ("analysing", "found_unsuitable"): "unsuitable",
    ("analysing", "gave_up"): "failed",
    ("analysed", "all_delivered"): "delivered",
    ("analysed", "gave_up"): "failed",
    ("analysed", "hold"): "held",
    ("delivered", "all_confirmed"): "confirmed",
    ("delivered", "sent_back"): "analysed",
    ("confirmed", "sent_back"): "analysed",
    ("held", "requeued"): "queued",
    ("unsuitable", "requeued"): "queued",
    ("failed", "requeued"): "queued",
    ("failed", "sent_back"): "analysed",
    ("analysed", "withdrawn"): "withdrawn",
    ("delivered", "withdrawn"): "withdrawn",
    ("confirmed", "withdrawn"): "withdrawn",
    ("unsuitable", "withdrawn"): "withdrawn",
    ("failed", "withdrawn"): "withdrawn",
}


@pytest.mark.parametrize(
    ("state", "event"), list(itertools.product(JobState, JobEvent)), ids=lambda one: str(one.value)
)
def test_every_event_in_every_state_is_legal_or_raises(state: JobState, event: JobEvent) -> None:
    expected = LEGAL.get((state.value, event.value))
    if expected is None:
        with pytest.raises(IllegalEventError, match=f"{state.value} cannot be {event.value}"):
            advance(state, event)
    else:
        assert advance(state, event) is JobState(expected)


def test_every_state_is_reached_from_the_queue() -> None:
    reached, edge = {JobState.QUEUED}, {JobState.QUEUED}
    while edge:
        edge = {after for state in edge for after in TRANSITIONS[state].values()} - reached
        reached |= edge
    assert reached == set(JobState)


def test_every_event_happens_somewhere() -> None:
    assert {event for row in TRANSITIONS.values() for event in row} == set(JobEvent)


def test_what_waits_for_a_person_can_be_queued_by_one() -> None:
    assert {
        state for state, row in TRANSITIONS.items() if JobEvent.REQUEUED in row
    } == NEEDS_A_PERSON
