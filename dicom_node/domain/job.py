"""The life of one exam's analysis as an Enum, a table and one function."""

from __future__ import annotations

import enum
from dataclasses import dataclass

ANALYSE_TASK = "faps.analyse"  # the Celery message: this name and one job id, nothing else
MAX_ATTEMPTS = 3  # counted at the claim, so that an exam that kills its worker runs out too


class JobState(enum.Enum):
    """Where a job is; ``UNSUITABLE`` and ``FAILED`` exams are reported and delivered too."""

    QUEUED = "queued"  # waits for a worker
    ANALYSING = "analysing"  # a worker holds the lease
    ANALYSED = "analysed"  # result bytes are stored, delivery runs
    DELIVERED = "delivered"  # every destination has answered success for every object
    CONFIRMED = "confirmed"  # every destination has proved that it keeps every object
    HELD = "held"  # waits for a person
    UNSUITABLE = "unsuitable"  # nothing in it may be analysed; the report says so
    FAILED = "failed"  # it should have worked and did not; the report says so
    WITHDRAWN = "withdrawn"  # its results count no more: replaced, or taken back by a person


class JobEvent(enum.Enum):
    """What can happen to a job."""

    CLAIMED = "claimed"
    LEASE_LOST = "lease_lost"
    RETRY = "retry"  # a passing fault: back in the queue
    RESULTS_STORED = "results_stored"
    ALL_DELIVERED = "all_delivered"
    ALL_CONFIRMED = "all_confirmed"
    SENT_BACK = "sent_back"  # a destination lost or refused what it had accepted
    FOUND_UNSUITABLE = "found_unsuitable"
    GAVE_UP = "gave_up"
    HOLD = "hold"
    REQUEUED = "requeued"  # by a person
    WITHDRAWN = "withdrawn"


TRANSITIONS: dict[JobState, dict[JobEvent, JobState]] = {
    JobState.QUEUED: {
        JobEvent.CLAIMED: JobState.ANALYSING,
        JobEvent.HOLD: JobState.HELD,
        JobEvent.GAVE_UP: JobState.FAILED,
    },
    JobState.ANALYSING: {
        # A second claim is legal once the lease has run out: the first holder's token is then void.
        JobEvent.CLAIMED: JobState.ANALYSING,
        JobEvent.LEASE_LOST: JobState.QUEUED,
        JobEvent.RETRY: JobState.QUEUED,
        JobEvent.RESULTS_STORED: JobState.ANALYSED,
        JobEvent.FOUND_UNSUITABLE: JobState.UNSUITABLE,
        JobEvent.GAVE_UP: JobState.FAILED,
    },
    JobState.ANALYSED: {
        JobEvent.ALL_DELIVERED: JobState.DELIVERED,
        JobEvent.GAVE_UP: JobState.FAILED,
        JobEvent.HOLD: JobState.HELD,
        JobEvent.WITHDRAWN: JobState.WITHDRAWN,
    },
    JobState.DELIVERED: {
        JobEvent.ALL_CONFIRMED: JobState.CONFIRMED,
        JobEvent.SENT_BACK: JobState.ANALYSED,
        JobEvent.WITHDRAWN: JobState.WITHDRAWN,
    },
    JobState.CONFIRMED: {
        JobEvent.SENT_BACK: JobState.ANALYSED,
        JobEvent.WITHDRAWN: JobState.WITHDRAWN,
    },
    JobState.HELD: {JobEvent.REQUEUED: JobState.QUEUED},
    JobState.UNSUITABLE: {
        JobEvent.REQUEUED: JobState.QUEUED,
        JobEvent.WITHDRAWN: JobState.WITHDRAWN,
    },
    JobState.FAILED: {
        JobEvent.REQUEUED: JobState.QUEUED,
        JobEvent.SENT_BACK: JobState.ANALYSED,  # a person sends the stored results again
        JobEvent.WITHDRAWN: JobState.WITHDRAWN,
    },
    JobState.WITHDRAWN: {},
}
NEEDS_A_PERSON = frozenset({JobState.HELD, JobState.UNSUITABLE, JobState.FAILED})


class IllegalEventError(ValueError):
    """An event that cannot happen in this state."""


def advance(state: JobState, event: JobEvent) -> JobState:
    """The state after ``event``; the only place where a job's state is decided.

    >>> advance(JobState.QUEUED, JobEvent.CLAIMED)
    <JobState.ANALYSING: 'analysing'>
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalEventError(f"a job that is {state.value} cannot be {event.value}") from None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One analysis of one revision of a study, as the ledger holds it."""

    id: str
    study_instance_uid: str
    revision: int
    input_hash: str
    state: JobState
    reason: str
    attempts: int
    token: int
    created_at: float
    assessments: dict[str, str]  # BI-RADS category by breast, {"R": "4A"}
