"""The way of one stored object to one destination as an Enum, a table and one function."""

from __future__ import annotations

import enum
from dataclasses import dataclass

DELIVER_ATTEMPTS_PERMANENT = 3
BACKOFF_FIRST_S = 5.0
BACKOFF_MAX_S = 900.0
DELIVER_BY_S = 72 * 3600.0


class DeliveryState(enum.Enum):
    """How far one object has come at one destination."""

    WAITING = "waiting"
    SENT = "sent"  # handed to the association, no answer yet
    ACCEPTED = "accepted"  # answered with success
    COMMITTED = "committed"  # the destination took responsibility (Storage Commitment)
    SEEN = "seen"  # found in the study by a query
    REFUSED = "refused"  # a permanent no, or no time left
    UNKNOWN = "unknown"  # the destination may have stored it: the same bytes are sent again
    CANCELLED = "cancelled"  # to be sent no more: newer results took its place, or it is withdrawn
    REPLACED = "replaced"  # its class is not taken; other objects go in its place
    HELD = "held"  # the destination knows the study by other patient data: a person decides


class DeliveryEvent(enum.Enum):
    """What can happen to a delivery."""

    SEND = "send"
    SUCCESS = "success"
    TRANSIENT = "transient"
    NO_ANSWER = "no_answer"
    REFUSAL = "refusal"
    REPLACE = "replace"  # refused, and others were planned instead
    RESTAMP = "restamp"  # given the destination's own patient data before it was ever sent
    HOLD = "hold"
    COMMIT = "commit"
    COMMIT_FAILURE = "commit_failure"
    FOUND = "found"
    NOT_FOUND = "not_found"  # accepted, and yet no query finds it
    UNPROVEN = "unproven"  # a proof is asked for no more: why stands in the reason
    RESEND = "resend"  # by a person
    CANCEL = "cancel"


_TRY = {
    DeliveryEvent.SEND: DeliveryState.SENT,
    DeliveryEvent.REFUSAL: DeliveryState.REFUSED,
    DeliveryEvent.CANCEL: DeliveryState.CANCELLED,
    DeliveryEvent.HOLD: DeliveryState.HELD,
}
TRANSITIONS: dict[DeliveryState, dict[DeliveryEvent, DeliveryState]] = {
    DeliveryState.WAITING: {
        **_TRY,
        DeliveryEvent.TRANSIENT: DeliveryState.WAITING,
        DeliveryEvent.RESTAMP: DeliveryState.WAITING,
    },
    DeliveryState.UNKNOWN: {**_TRY, DeliveryEvent.TRANSIENT: DeliveryState.UNKNOWN},
    DeliveryState.SENT: {
        # A restart finds objects that were being sent: whether they arrived is not known.
        DeliveryEvent.SEND: DeliveryState.SENT,
        DeliveryEvent.SUCCESS: DeliveryState.ACCEPTED,
        DeliveryEvent.TRANSIENT: DeliveryState.WAITING,
        DeliveryEvent.NO_ANSWER: DeliveryState.UNKNOWN,
        DeliveryEvent.REFUSAL: DeliveryState.REFUSED,
        DeliveryEvent.CANCEL: DeliveryState.CANCELLED,  # left over by a restart
        DeliveryEvent.REPLACE: DeliveryState.REPLACED,
        DeliveryEvent.HOLD: DeliveryState.HELD,
    },
    DeliveryState.ACCEPTED: {
        DeliveryEvent.COMMIT: DeliveryState.COMMITTED,
        DeliveryEvent.COMMIT_FAILURE: DeliveryState.WAITING,
        DeliveryEvent.FOUND: DeliveryState.SEEN,
        DeliveryEvent.NOT_FOUND: DeliveryState.WAITING,
        DeliveryEvent.UNPROVEN: DeliveryState.ACCEPTED,
        DeliveryEvent.RESEND: DeliveryState.WAITING,
    },
    DeliveryState.COMMITTED: {
        DeliveryEvent.FOUND: DeliveryState.SEEN,
        DeliveryEvent.NOT_FOUND: DeliveryState.WAITING,
        DeliveryEvent.UNPROVEN: DeliveryState.COMMITTED,
        DeliveryEvent.RESEND: DeliveryState.WAITING,
    },
    DeliveryState.SEEN: {DeliveryEvent.RESEND: DeliveryState.WAITING},
    DeliveryState.REFUSED: {DeliveryEvent.RESEND: DeliveryState.WAITING},
    DeliveryState.CANCELLED: {},
    DeliveryState.REPLACED: {DeliveryEvent.RESEND: DeliveryState.WAITING},
    DeliveryState.HELD: {
        DeliveryEvent.RESEND: DeliveryState.WAITING,
        DeliveryEvent.CANCEL: DeliveryState.CANCELLED,
    },
}
ARRIVED = frozenset({DeliveryState.ACCEPTED, DeliveryState.COMMITTED, DeliveryState.SEEN})
CONFIRMED = frozenset({DeliveryState.COMMITTED, DeliveryState.SEEN})
TO_SEND = frozenset({DeliveryState.WAITING, DeliveryState.UNKNOWN, DeliveryState.SENT})
TO_TRY = frozenset({DeliveryState.WAITING, DeliveryState.UNKNOWN})  # not on its way right now
PENDING = TO_SEND | {DeliveryState.HELD}  # an exam with one of these has not reached its end


class IllegalDeliveryEventError(ValueError):
    """An event that cannot happen in this state."""


def advance(state: DeliveryState, event: DeliveryEvent) -> DeliveryState:
    """The state after ``event``; the only place where a delivery's state is decided."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalDeliveryEventError(
            f"a delivery that is {state.value} cannot have {event.value}"
        ) from None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one attempt to store one object gave: the event, the DIMSE status, and words."""

    event: DeliveryEvent
    status: int | None
    reason: str
    not_taken: bool = False  # refused for its SOP class, whatever the object says
    instead: tuple[str, ...] = ()  # roles that go in its place should the refusal be final


def proven(state: DeliveryState, *, commitment: bool, sight: bool) -> bool:
    """Whether a delivery stands on the highest rung that is asked of it.

    >>> proven(DeliveryState.COMMITTED, commitment=True, sight=False)
    True
    >>> proven(DeliveryState.COMMITTED, commitment=True, sight=True)
    False
    """
    return state is DeliveryState.SEEN if sight else commitment and state in CONFIRMED


def outcome_of(status: int | None, comment: str = "") -> Outcome:
    """Judge a C-STORE-RSP status (PS3.4 Table B.2-1); ``None`` is an empty answer.

    >>> outcome_of(0x0000).event, outcome_of(0xA700).event, outcome_of(None).event
    (<DeliveryEvent.SUCCESS: 'success'>, <DeliveryEvent.TRANSIENT: 'transient'>, \
<DeliveryEvent.NO_ANSWER: 'no_answer'>)
    """
    if status is None:
        return Outcome(event=DeliveryEvent.NO_ANSWER, status=None, reason="no answer")
    text = f"status 0x{status:04X}" + (f": {comment}" if comment else "")
    if status == 0x0000 or status >> 12 == 0xB:  # noqa: PLR2004 - success; Bxxx warns but stored
        return Outcome(event=DeliveryEvent.SUCCESS, status=status, reason=text)
    if status >> 8 == 0xA7 or status == 0x0110:  # noqa: PLR2004 - out of resources; processing failure
        return Outcome(event=DeliveryEvent.TRANSIENT, status=status, reason=text)
    # SOP class not supported (PS3.7 C.5.6); data set does not match SOP class
    not_taken = status == 0x0122 or status >> 8 == 0xA9  # noqa: PLR2004
    return Outcome(event=DeliveryEvent.REFUSAL, status=status, reason=text, not_taken=not_taken)


@dataclass(frozen=True)
class Patience:
    """How long a destination is waited for: the first pause, and how long after planning at all."""

    first_s: float = BACKOFF_FIRST_S
    within_s: float = DELIVER_BY_S


PATIENCE = Patience()


def pause(times: int, spread: float, first_s: float, max_s: float) -> float:
    """Seconds to wait after something failed ``times`` times: doubles from first to max.

    ``spread`` in [0, 1] is the caller's jitter, a quarter up or down.
    """
    doublings = min(max(0, times - 1), 16)  # the cap is reached long before
    return min(first_s * 2.0**doublings, max_s) * (0.75 + 0.5 * spread)


def next_attempt_at(
    now: float,
    attempts: int,
    created_at: float,
    patience: Patience = PATIENCE,
    *,
    spread: float = 0.5,
) -> float | None:
    """When to try again after ``attempts`` tries, or ``None`` when the time is up.

    Doubles from its first pause to 15 min; ``spread`` in [0, 1] is the caller's jitter, so that
    destinations which fail together do not all come back together.
    """
    if now - created_at >= patience.within_s:
        return None
    return now + pause(attempts, spread, patience.first_s, BACKOFF_MAX_S)
