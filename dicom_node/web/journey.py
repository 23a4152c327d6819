"""An exam's way through the node: five steps at a glance, and every event of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dicom_node.web.parcels import Tally
from dicom_node.web.words import STAGES, STATES, Tone, actor_words, event_words, object_name

Progress = Literal["done", "fault", "now", "stopped", "ahead"]
IMAGES, RESULTS, DELIVERED = "Images in", "Results stored", "Delivered"
_RESULT_EVENTS = ("results_stored", "found_unsuitable", "gave_up")
_ENDINGS = {"unsuitable": "Found unsuitable", "failed": "Failed"}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the way; times in seconds."""

    name: str
    progress: Progress
    since_first: float | None  # from the exam's first event
    since_last: float | None  # from the step before


@dataclass(frozen=True, kw_only=True)
class TimelineRow:
    """One event; ``since_first`` in seconds from the first."""

    at: float
    since_first: float
    what: str
    subject: str
    change: str
    tone: Tone
    reason: str
    actor: str


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Seconds that one stage of the analysis took, with its share of the longest."""

    name: str
    seconds: float
    share: int  # per cent of the longest stage, for the bar


def steps(
    events: Sequence[dict[str, Any]],
    job: dict[str, Any] | None,
    last_image_at: float | None,
    parcels: Collection[Tally],
) -> tuple[Step, ...]:
    """The way of one revision.

    ``job`` is ``None`` while its images still come; ``parcels`` are its objects' deliveries.
    """
    first = events[0]["at"] if events else 0.0
    state = "" if job is None else str(job["state"])
    moments = _moments(events, job, last_image_at, parcels)
    made: list[Step] = []
    before: float | None = None
    for name, at in moments.items():
        is_next = at is None and not any(step.progress in {"now", "stopped"} for step in made)
        made.append(
            Step(
                name=_ENDINGS.get(state, name) if name == RESULTS else name,
                progress=_progress(name, state, parcels, done=at is not None, now=is_next),
                since_first=None if at is None else at - first,
                since_last=None if at is None or before is None else max(0.0, at - before),
            )
        )
        before = before if at is None else at
    return tuple(made)


def _progress(
    name: str, state: str, parcels: Iterable[Tally], *, done: bool, now: bool
) -> Progress:
    if done:
        return "fault" if name == RESULTS and state in _ENDINGS else "done"
    if not now:
        return "ahead"
    stuck = any(tally.refused or tally.held for tally in parcels)
    return "stopped" if state == "held" or stuck else "now"


def turnaround(way: Sequence[Step]) -> float | None:
    """Seconds from the last image to the last answer of the last destination."""
    at = {step.name: step.since_first for step in way}
    begin, end = at.get(IMAGES), at.get(DELIVERED)
    return None if begin is None or end is None else end - begin


def _moments(
    events: Iterable[dict[str, Any]],
    job: dict[str, Any] | None,
    last_image_at: float | None,
    parcels: Collection[Tally],
) -> dict[str, float | None]:
    """When each step was done, ``None`` for what lies ahead; a later run overwrites an earlier."""
    at: dict[str, float] = {}
    answers = []
    for event in events:
        if job is not None and event["subject"] == "job" and event["subject_id"] == job["id"]:
            _forget_what_is_void(at, event["event"])
            at[event["event"]] = event["at"]
        if event["subject"] == "delivery":
            answers.append((event["event"], event["at"]))
    moments = {
        IMAGES: None if job is None else last_image_at,
        "Exam complete": None if job is None or job["state"] == "held" else job["created_at"],
        "Analysis began": at.get("claimed"),
        RESULTS: next((at[name] for name in _RESULT_EVENTS if name in at), None),
        DELIVERED: None,
    }
    # A job that failed is reported too, but only its deliveries tell how far the report has come.
    if parcels and all(tally.arrived == tally.total for tally in parcels):
        moments[DELIVERED] = max((t for event, t in answers if event == "success"), default=None)
    if any(tally.confirmation_asked for tally in parcels):
        done = all(tally.done for tally in parcels)
        given = max((t for event, t in answers if event in {"commit", "found"}), default=None)
        moments["Confirmed"] = given if done else None
    return moments


def _forget_what_is_void(at: dict[str, float], event: str) -> None:
    """A run that begins anew makes the end of the run before void."""
    if event in {"requeued", "claimed"}:
        for name in ("claimed", *_RESULT_EVENTS):
            at.pop(name, None)


def timeline(
    events: Sequence[dict[str, Any]], deliveries: Iterable[dict[str, Any]]
) -> tuple[TimelineRow, ...]:
    """Every event of a study in order; delivery events name the object and its destination."""
    first = events[0]["at"] if events else 0.0
    parcels = {
        str(row["id"]): f"{object_name(row['role'], row['key'])} to {row['destination']}"
        for row in deliveries
    }
    return tuple(
        TimelineRow(
            at=event["at"],
            since_first=event["at"] - first,
            what=event_words(event["subject"], event["event"]),
            subject=_subject(event, parcels),
            change=_change(event),
            tone=_tone(event),
            reason=event["reason"],
            actor=actor_words(event["actor"]),
        )
        for event in events
    )


def _subject(event: Mapping[str, Any], parcels: Mapping[str, str]) -> str:
    """What an event is about; the study and its job need no name on the study's own page."""
    if event["subject"] == "delivery":
        number, _, destination = str(event["subject_id"]).partition(" ")
        return parcels.get(number, destination)
    return str(event["subject_id"]) if event["subject"] == "instance" else ""


def _change(event: Mapping[str, Any]) -> str:
    before, after = event["from_state"], event["to_state"]
    return f"{before} → {after}" if before and after and before != after else str(after)


def _tone(event: Mapping[str, Any]) -> Tone:
    if event["subject"] == "job" and event["to_state"] in STATES:
        return STATES[event["to_state"]].tone
    return "bad" if event["to_state"] == "refused" else "quiet"


def stages(seconds: Mapping[str, float]) -> tuple[Stage, ...]:
    """Seconds per stage in the order in which the stages ran."""
    longest = max(seconds.values(), default=0.0) or 1.0
    return tuple(
        Stage(name=STAGES.get(name, name), seconds=taken, share=round(100 * taken / longest))
        for name, taken in seconds.items()
    )
