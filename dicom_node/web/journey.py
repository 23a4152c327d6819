"""An exam's way through the node: five steps at a glance, and every event of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dicom_node.web.words import STAGES, STATES, Tone, actor_words, event_words, object_name

Progress = Literal["done", "now", "stopped", "open"]
_RESULTS = ("results_stored", "found_unsuitable", "gave_up")


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
    *,
    confirmation_asked: bool,
) -> tuple[Step, ...]:
    """The way of one revision; ``job`` is ``None`` while its images still come."""
    first = events[0]["at"] if events else 0.0
    moments = _moments(events, job, last_image_at)
    if not confirmation_asked:
        del moments["Confirmed"]
    stopped = job is not None and STATES[job["state"]].tone in {"warn", "bad"}
    made: list[Step] = []
    before: float | None = None
    current_is_told = False
    for name, at in moments.items():
        if at is None and not current_is_told:
            progress: Progress = "stopped" if stopped else "now"
            current_is_told = True
        else:
            progress = "open" if at is None else "done"
        since_last = None if at is None or before is None else max(0.0, at - before)
        since_first = None if at is None else at - first
        made.append(
            Step(name=name, progress=progress, since_first=since_first, since_last=since_last)
        )
        before = at if at is not None else before
    return tuple(made)


def _moments(
    events: Iterable[dict[str, Any]], job: dict[str, Any] | None, last_image_at: float | None
) -> dict[str, float | None]:
    """When each step was done, ``None`` for what lies ahead; a later run overwrites an earlier."""
    at: dict[str, float] = {}
    for event in events:
        if job is not None and event["subject"] == "job" and event["subject_id"] == job["id"]:
            at[event["event"]] = event["at"]
            if event["event"] in {"requeued", "claimed", "sent_back"}:
                _forget_what_is_void(at, event["event"])
    return {
        "Images in": None if job is None else last_image_at,
        "Exam complete": None if job is None or job["state"] == "held" else job["created_at"],
        "Analysis began": at.get("claimed"),
        "Results stored": next((at[name] for name in _RESULTS if name in at), None),
        "Delivered": at.get("all_delivered"),
        "Confirmed": at.get("all_confirmed"),
    }


def _forget_what_is_void(at: dict[str, float], event: str) -> None:
    later = ["all_delivered", "all_confirmed"]
    if event != "sent_back":
        later += _RESULTS
    if event == "requeued":
        later.append("claimed")
    for name in later:
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
