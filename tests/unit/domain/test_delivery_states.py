"""The way of an object to a destination, walked through every state and every event."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.domain.delivery import (
    ARRIVED,
    CONFIRMED,
    DELIVER_BY_S,
    PENDING,
    TO_SEND,
    TRANSITIONS,
    DeliveryEvent,
    DeliveryState,
    IllegalDeliveryEventError,
    Patience,
    advance,
    next_attempt_at,
    outcome_of,
    proven,
)

LEGAL = {
    ("waiting", "send"): "sent",
    ("waiting", "refusal"): "refused",
    ("waiting", "transient"): "waiting",
    ("waiting", "restamp"): "waiting",
    ("waiting", "hold"): "held",
    ("unknown", "send"): "sent",
    ("unknown", "refusal"): "refused",
    ("unknown", "transient"): "unknown",
    ("unknown", "hold"): "held",
    ("sent", "send"): "sent",
    ("sent", "success"): "accepted",
    ("sent", "transient"): "waiting",
    ("sent", "no_answer"): "unknown",
    ("sent", "refusal"): "refused",
    ("sent", "replace"): "replaced",
    ("sent", "hold"): "held",
    ("accepted", "commit"): "committed",
    ("accepted", "commit_failure"): "waiting",
    ("accepted", "found"): "seen",
    ("accepted", "not_found"): "waiting",
    ("accepted", "unproven"): "accepted",
    ("accepted", "resend"): "waiting",
    ("committed", "found"): "seen",
    ("committed", "not_found"): "waiting",
    ("committed", "unproven"): "committed",
    ("committed", "resend"): "waiting",
    ("seen", "resend"): "waiting",
    ("refused", "resend"): "waiting",
    ("waiting", "cancel"): "cancelled",
    ("unknown", "cancel"): "cancelled",
    ("sent", "cancel"): "cancelled",
    ("replaced", "resend"): "waiting",
    ("held", "resend"): "waiting",
    ("held", "cancel"): "cancelled",
}


@pytest.mark.parametrize(
    ("state", "event"),
    list(itertools.product(DeliveryState, DeliveryEvent)),
    ids=lambda one: str(one.value),
)
def test_every_event_in_every_state_is_legal_or_raises(
    state: DeliveryState, event: DeliveryEvent
) -> None:
    expected = LEGAL.get((state.value, event.value))
    if expected is None:
        with pytest.raises(IllegalDeliveryEventError, match=state.value):
            advance(state, event)
    else:
        assert advance(state, event) is DeliveryState(expected)


def test_every_state_is_reached_from_waiting() -> None:
    reached, edge = {DeliveryState.WAITING}, {DeliveryState.WAITING}
    while edge:
        edge = {after for state in edge for after in TRANSITIONS[state].values()} - reached
        reached |= edge
    assert reached == set(DeliveryState)


def test_an_object_is_to_be_sent_or_has_arrived_or_has_ended_otherwise() -> None:
    ended = {DeliveryState.REFUSED, DeliveryState.REPLACED, DeliveryState.CANCELLED}
    assert ARRIVED | PENDING | ended == set(DeliveryState)
    assert not ARRIVED & PENDING
    assert {DeliveryState.HELD} == PENDING - TO_SEND
    assert CONFIRMED < ARRIVED


@pytest.mark.parametrize("state", sorted(TO_SEND, key=str))
def test_whatever_is_to_be_sent_can_be_sent(state: DeliveryState) -> None:
    assert advance(state, DeliveryEvent.SEND) is DeliveryState.SENT


@pytest.mark.parametrize(
    ("commitment", "sight", "proofs"),
    [
        (True, False, {DeliveryState.COMMITTED, DeliveryState.SEEN}),
        (False, True, {DeliveryState.SEEN}),
        (True, True, {DeliveryState.SEEN}),
        (False, False, set()),
    ],
)
def test_only_the_highest_rung_that_is_asked_for_proves(
    *, commitment: bool, sight: bool, proofs: set[DeliveryState]
) -> None:
    found = {one for one in DeliveryState if proven(one, commitment=commitment, sight=sight)}
    assert found == proofs


@pytest.mark.parametrize(
    ("status", "event"),
    [
        (0x0000, DeliveryEvent.SUCCESS),
        (0xB000, DeliveryEvent.SUCCESS),
        (0xB006, DeliveryEvent.SUCCESS),
        (0xB007, DeliveryEvent.SUCCESS),
        (0xA700, DeliveryEvent.TRANSIENT),
        (0xA7FF, DeliveryEvent.TRANSIENT),
        (0x0110, DeliveryEvent.TRANSIENT),
        (0xA900, DeliveryEvent.REFUSAL),
        (0xC000, DeliveryEvent.REFUSAL),
        (0xCFFF, DeliveryEvent.REFUSAL),
        (0x0122, DeliveryEvent.REFUSAL),
        (0x0124, DeliveryEvent.REFUSAL),
        (None, DeliveryEvent.NO_ANSWER),
    ],
)
def test_the_status_family_says_what_became_of_an_attempt(
    status: int | None, event: DeliveryEvent
) -> None:
    outcome = outcome_of(status, "because")
    assert (outcome.event, outcome.status) == (event, status)
    assert outcome.not_taken is (status in {0x0122, 0xA900})


def test_the_reason_quotes_status_and_comment() -> None:
    assert outcome_of(0xA900, "wrong class").reason == "status 0xA900: wrong class"
    assert outcome_of(0xC001).reason == "status 0xC001"
    assert outcome_of(0xB000, "coerced").reason == "status 0xB000: coerced"
    assert outcome_of(0xA700, "busy").reason == "status 0xA700: busy"
    assert outcome_of(None).reason == "no answer"


@given(st.integers(0, 100_000), st.floats(0, 1), st.floats(0, DELIVER_BY_S - 1))
def test_pauses_never_shrink_and_are_capped(attempts: int, spread: float, age: float) -> None:
    first = next_attempt_at(age, attempts, 0.0, spread=spread)
    second = next_attempt_at(age, attempts + 1, 0.0, spread=spread)
    assert first is not None
    assert second is not None
    assert 0.75 * 5 <= first - age <= second - age <= 1.25 * 900 + 1e-6


def test_pauses_double_from_five_seconds_to_a_quarter_of_an_hour() -> None:
    pauses = [next_attempt_at(0.0, attempts, 0.0) for attempts in range(1, 11)]
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]
    shorter = [next_attempt_at(0.0, attempts, 0.0, Patience(first_s=0.5)) for attempts in (1, 2, 3)]
    assert shorter == [0.5, 1, 2]
    assert [next_attempt_at(0.0, 1, 0.0, spread=spread) for spread in (0, 1)] == [3.75, 6.25]


def test_trying_ends_after_three_days() -> None:
    assert next_attempt_at(72 * 3600 - 1.0, 5, 0.0) is not None
    assert next_attempt_at(72 * 3600.0, 5, 0.0) is None
