"""Images fetched from a PACS: the state of one order, and what of a study is wanted."""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dicom_node.domain.delivery import next_attempt_at
from dicom_node.domain.dimse import INPUT_CLASSES

GIVE_UP_AFTER_S = 3600.0


class PullState(enum.Enum):
    """Where an order is."""

    ORDERED = "ordered"  # waits for its turn, or for the next attempt
    PULLED = "pulled"  # everything that the PACS has and that is wanted is here
    NOT_PULLED = "not_pulled"  # given up


class PullEvent(enum.Enum):
    """What can happen to an order."""

    ALL_HERE = "all_here"
    TRY_AGAIN = "try_again"
    GAVE_UP = "gave_up"


TRANSITIONS: dict[PullState, dict[PullEvent, PullState]] = {
    PullState.ORDERED: {
        PullEvent.ALL_HERE: PullState.PULLED,
        PullEvent.TRY_AGAIN: PullState.ORDERED,
        PullEvent.GAVE_UP: PullState.NOT_PULLED,
    },
    PullState.PULLED: {},
    PullState.NOT_PULLED: {},
}


class IllegalPullEventError(ValueError):
    """An event that cannot happen in this state."""


def advance(state: PullState, event: PullEvent) -> PullState:
    """The state after ``event``; the only place where an order's state is decided."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalPullEventError(
            f"an order that is {state.value} cannot have {event.value}"
        ) from None


@dataclass(frozen=True)
class Found:
    """One image that the PACS says it has; its class is empty where the PACS does not tell."""

    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str


def wanted(found: Sequence[Found], here: Collection[str], most: int) -> tuple[Found, ...]:
    """Images that might be analysed and are not here; at most ``most``, in the PACS' order."""
    classes = {str(uid) for uid in INPUT_CLASSES}
    missing = [
        image
        for image in found
        if image.sop_instance_uid not in here
        and (not image.sop_class_uid or image.sop_class_uid in classes)
    ]
    return tuple(missing[:most])


def next_try_at(now: float, attempts: int, ordered_at: float) -> float | None:
    """When to try again; ``None`` when it is time to give up."""
    if now - ordered_at >= GIVE_UP_AFTER_S:
        return None
    return next_attempt_at(now, attempts, ordered_at)
