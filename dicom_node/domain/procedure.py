"""What a modality says of the images it makes: Modality Performed Procedure Step (PS3.4 F)."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.dataset import Dataset

MOST_IMAGES = 20_000


class ProcedureState(enum.Enum):
    """Performed Procedure Step Status (PS3.3 C.4.14) of one step."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    DISCONTINUED = "discontinued"


class ProcedureEvent(enum.Enum):
    """What an N-SET makes of a step."""

    CONTINUED = "continued"
    COMPLETED = "completed"
    DISCONTINUED = "discontinued"


# PS3.4 F.7.2.2.2: what is completed or discontinued is changed no more.
TRANSITIONS: dict[ProcedureState, dict[ProcedureEvent, ProcedureState]] = {
    ProcedureState.IN_PROGRESS: {
        ProcedureEvent.CONTINUED: ProcedureState.IN_PROGRESS,
        ProcedureEvent.COMPLETED: ProcedureState.COMPLETED,
        ProcedureEvent.DISCONTINUED: ProcedureState.DISCONTINUED,
    },
    ProcedureState.COMPLETED: {},
    ProcedureState.DISCONTINUED: {},
}
_EVENTS = {
    "": ProcedureEvent.CONTINUED,
    "IN PROGRESS": ProcedureEvent.CONTINUED,
    "COMPLETED": ProcedureEvent.COMPLETED,
    "DISCONTINUED": ProcedureEvent.DISCONTINUED,
}


class IllegalProcedureEventError(ValueError):
    """An event that cannot happen in this state."""


def advance(state: ProcedureState, event: ProcedureEvent) -> ProcedureState:
    """The state after ``event``; the only place where a step's state is decided."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalProcedureEventError(
            f"a step that is {state.value} cannot be {event.value}"
        ) from None


def event_of(ds: Dataset) -> ProcedureEvent:
    """What a Modification List asks for; a ``ValueError`` when its status is none."""
    status = str(ds.get("PerformedProcedureStepStatus") or "").strip()
    if status not in _EVENTS:
        raise ValueError(f"{status[:16]!r} is no Performed Procedure Step Status")
    return _EVENTS[status]


def study_of(ds: Dataset) -> str:
    """Study Instance UID of the step's first scheduled step (PS3.4 Table F.7.2-1), or ``""``."""
    for item in ds.get("ScheduledStepAttributesSequence") or []:
        uid = str(item.get("StudyInstanceUID") or "")
        if uid:
            return uid
    return ""


def images_of(ds: Dataset) -> list[str] | None:
    """SOP Instance UIDs of all images of all series; None where the list is not part of ``ds``."""
    if "PerformedSeriesSequence" not in ds:
        return None
    uids = [
        str(image.get("ReferencedSOPInstanceUID") or "")
        for series in ds.PerformedSeriesSequence or []
        for image in series.get("ReferencedImageSequence") or []
    ]
    return list(dict.fromkeys(filter(None, uids)))[:MOST_IMAGES]


@dataclass(frozen=True, kw_only=True)
class Performed:
    """What all steps of a study say together, compared with what came."""

    finished: bool  # no step is in progress
    discontinued: bool  # finished, and one of them before its end
    named: int  # images that they name
    missing: int  # of these, not here

    @property
    def all_here(self) -> bool:
        """Whether the modality is done, and every image that it names has come."""
        return self.finished and self.named > 0 and not self.missing

    @property
    def more_to_come(self) -> bool:
        """Whether images are still being made, or are named and not here."""
        return not self.discontinued and (not self.finished or self.missing > 0)

    @property
    def words(self) -> str:
        """One sentence for people."""
        state = "discontinued" if self.discontinued else "done" if self.finished else "at work"
        named = f"{self.named} images named" if self.named else "no image named yet"
        missing = f", {self.missing} of them not here" if self.missing else ""
        return f"The modality is {state}: {named}{missing}."


def summary(
    states: Iterable[ProcedureState], named: Iterable[str], here: Iterable[str]
) -> Performed | None:
    """All steps of one study put together; None where there is none."""
    known, images = list(states), set(named)
    if not known:
        return None
    finished = ProcedureState.IN_PROGRESS not in known
    return Performed(
        finished=finished,
        discontinued=finished and ProcedureState.DISCONTINUED in known,
        named=len(images),
        missing=len(images - set(here)),
    )
