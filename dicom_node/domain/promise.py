"""What a modality is told about objects that it asks us to keep: Storage Commitment (PS3.4 J)."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

PROCESSING_FAILURE = 0x0110  # PS3.3 C.14.1.1, as all of these
NO_SUCH_OBJECT = 0x0112
CLASS_INSTANCE_CONFLICT = 0x0119
DUPLICATE_TRANSACTION = 0x0131
ALL_COMMITTED, SOME_FAILED = 1, 2  # PS3.4 J.3.3: event types
MOST_REFERENCES = 20_000  # a study of tomosynthesis has some hundred

Reference = tuple[str, str]  # SOP Class UID, SOP Instance UID


class PromiseState(enum.Enum):
    """Where the answer to one transaction is."""

    ASKED = "asked"  # the report is to be made or to be sent again
    REPORTED = "reported"  # the asker has taken the report
    GIVEN_UP = "given_up"  # nobody took the report in time


class PromiseEvent(enum.Enum):
    """What can happen to a transaction."""

    REPORT_TAKEN = "report_taken"
    REPORT_LOST = "report_lost"  # nobody there, or it refused the report
    TIME_UP = "time_up"
    ASKED_AGAIN = "asked_again"


TRANSITIONS: dict[PromiseState, dict[PromiseEvent, PromiseState]] = {
    PromiseState.ASKED: {
        PromiseEvent.REPORT_TAKEN: PromiseState.REPORTED,
        PromiseEvent.REPORT_LOST: PromiseState.ASKED,
        PromiseEvent.TIME_UP: PromiseState.GIVEN_UP,
        PromiseEvent.ASKED_AGAIN: PromiseState.ASKED,
    },
    PromiseState.REPORTED: {PromiseEvent.ASKED_AGAIN: PromiseState.ASKED},
    PromiseState.GIVEN_UP: {PromiseEvent.ASKED_AGAIN: PromiseState.ASKED},
}


class IllegalPromiseEventError(ValueError):
    """An event that cannot happen in this state."""


def advance(state: PromiseState, event: PromiseEvent) -> PromiseState:
    """The state after ``event``; the only place where a transaction's state is decided."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalPromiseEventError(
            f"a transaction that is {state.value} cannot have {event.value}"
        ) from None


class NotUnderstoodError(ValueError):
    """A request that names no transaction or no object."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One N-ACTION request: who asks about which objects under which transaction."""

    transaction_uid: str
    references: tuple[Reference, ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is promised, and what is not with its reason (PS3.3 C.14.1.1)."""

    committed: tuple[Reference, ...]
    failed: tuple[tuple[Reference, int], ...]


def question_from(ds: Dataset) -> Question:
    """An N-ACTION's Action Information (PS3.4 Table J.3-1).

    Raises
    ------
    NotUnderstoodError
        When there is no Transaction UID, or no, or too many, or unreadable references.
    """
    try:
        transaction_uid = str(ds.TransactionUID)
        references = tuple(
            (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
            for item in ds.ReferencedSOPSequence
        )
    except (AttributeError, TypeError) as error:
        raise NotUnderstoodError(str(error)) from error
    longest = max((len(uid) for pair in references for uid in pair), default=0)
    if not transaction_uid or max(longest, len(transaction_uid)) > 64:  # noqa: PLR2004 - of a UID
        raise NotUnderstoodError("a UID that is empty or longer than 64 characters")
    if not 0 < len(references) <= MOST_REFERENCES:
        raise NotUnderstoodError(f"{len(references)} references")
    return Question(transaction_uid=transaction_uid, references=references)


def verdict(
    references: Sequence[Reference],
    kept: Mapping[str, tuple[str, bool]],
    *,
    duplicate: bool = False,
) -> Verdict:
    """Judge each reference by what is ``kept``: SOP class, and whether its bytes are whole, by UID.

    ``duplicate`` is a transaction UID that was used before for other objects: nothing is promised.
    """
    committed, failed = [], []
    for reference in references:
        sop_class_uid, whole = kept.get(reference[1], ("", False))
        if duplicate:
            failed.append((reference, DUPLICATE_TRANSACTION))
        elif not sop_class_uid:
            failed.append((reference, NO_SUCH_OBJECT))
        elif sop_class_uid != reference[0]:
            failed.append((reference, CLASS_INSTANCE_CONFLICT))
        elif not whole:
            failed.append((reference, PROCESSING_FAILURE))
        else:
            committed.append(reference)
    return Verdict(committed=tuple(committed), failed=tuple(failed))


def report(transaction_uid: str, judged: Verdict) -> tuple[int, Dataset]:
    """Event type and Event Information of the N-EVENT-REPORT (PS3.4 Table J.3-2)."""
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    if judged.committed:
        ds.ReferencedSOPSequence = [_item(reference) for reference in judged.committed]
    if judged.failed:
        ds.FailedSOPSequence = list(_failures(judged.failed))
    return SOME_FAILED if judged.failed else ALL_COMMITTED, ds


def _item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference
    return item


def _failures(failed: Iterable[tuple[Reference, int]]) -> Iterable[Dataset]:
    for reference, reason in failed:
        item = _item(reference)
        item.FailureReason = reason
        yield item
