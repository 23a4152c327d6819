"""When a study's exam is ready to be analysed, as a function of what came and when."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dicom_node.domain.exam import FULL_EXAM, Exam, pair, view_name
from dicom_node.domain.instance import ImageKind, InstanceHeader
from dicom_node.domain.procedure import Performed

CEM_KINDS = frozenset({ImageKind.LOW_ENERGY, ImageKind.RECOMBINED})


class StudyState(enum.Enum):
    """Whether a study still waits for images or a job was made of it."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, kw_only=True)
class CompletenessRule:
    """When to stop waiting; seconds after the last image, and the views a full exam has."""

    expected_views: tuple[str, ...] = FULL_EXAM
    settle_s: float = 5.0
    quiet_s: float = 60.0
    deadline_s: float = 900.0


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """What the ledger knows of an open study."""

    headers: Sequence[InstanceHeader]
    first_received_at: float
    last_received_at: float
    association_open: bool
    reopened: bool = False  # a job was made of the study before these images came
    performed: Performed | None = None  # what the modality says, if it says anything


class Verdict(enum.Enum):
    """What to do with an open study now."""

    WAIT = "wait"
    READY = "ready"
    HOLD = "hold"
    IGNORE = "ignore"  # nothing in it could ever become a CEM view


@dataclass(frozen=True)
class Judgement:
    """A verdict with its reason, and the moment at which it may change without a new image."""

    verdict: Verdict
    reason: str
    look_again_at: float | None = None


@dataclass(frozen=True)
class GridCell:
    """One cell of breast x view: what came and what is missing."""

    name: str
    low_energy: bool
    recombined: bool
    paired: bool


def judge(arrival: Arrival, rule: CompletenessRule, now: float) -> Judgement:
    """Whether the exam is complete, by content first and by silence last.

    Ready at once when the expected set is there and every started view is paired, unless the study
    was closed before: then more late images may follow the first; after
    ``settle_s`` of silence when all seen views are paired and the sender has hung up; after
    ``quiet_s`` otherwise. A study that has started views without a single pair is held at
    ``deadline_s`` after its first image.

    A modality that says what it made is believed: once all of that is there nothing is waited for;
    while it is at work, or images that it named are missing, ``settle_s`` of silence do not count;
    a step that it broke off is judged after ``settle_s``, by what came.
    """
    exam = pair(arrival.headers)
    started = [cell for cell in grid(arrival.headers, ()) if cell.low_energy or cell.recombined]
    all_paired = bool(exam.views) and all(cell.paired for cell in started)
    silence = now - arrival.last_received_at
    told = arrival.performed
    settled = not arrival.association_open and silence >= rule.settle_s
    if told is not None and (told.all_here or (told.discontinued and settled)):
        return _told_that_no_more_comes(exam, started, arrival)
    full = set(rule.expected_views) <= exam.names
    if all_paired and full and not arrival.reopened:
        return Judgement(Verdict.READY, "all expected views are paired")
    more_to_come = told is not None and told.more_to_come
    if all_paired and settled and not more_to_come:
        return Judgement(
            Verdict.READY, f"all seen views are paired, silent for {rule.settle_s:g} s"
        )
    # An association that stays open proves nothing: some PACS keep one for hours.
    if silence >= rule.quiet_s:
        return _after_silence(exam, started, arrival, rule, now)
    discontinued = told is not None and told.discontinued
    settles = (all_paired or discontinued) and not arrival.association_open and not more_to_come
    return Judgement(
        Verdict.WAIT,
        waiting_for(arrival.headers, rule.expected_views),
        arrival.last_received_at + (rule.settle_s if settles else rule.quiet_s),
    )


def _after_silence(
    exam: Exam, started: Sequence[GridCell], arrival: Arrival, rule: CompletenessRule, now: float
) -> Judgement:
    judged = _by_what_came(exam, started, arrival, f"silent for {rule.quiet_s:g} s")
    if judged is not None:
        return judged
    deadline = arrival.first_received_at + rule.deadline_s
    missing = waiting_for(arrival.headers, ())
    if now >= deadline:
        return Judgement(Verdict.HOLD, f"incomplete after {rule.deadline_s:g} s: {missing}")
    return Judgement(Verdict.WAIT, missing, deadline)


def _told_that_no_more_comes(
    exam: Exam, started: Sequence[GridCell], arrival: Arrival
) -> Judgement:
    judged = _by_what_came(exam, started, arrival, "the modality says that no more images come")
    if judged is not None:
        return judged
    missing = waiting_for(arrival.headers, ())
    return Judgement(Verdict.HOLD, f"incomplete, and the modality made no more: {missing}")


def _by_what_came(
    exam: Exam, started: Sequence[GridCell], arrival: Arrival, why: str
) -> Judgement | None:
    """The verdict if nothing more comes; None where a missing image could make the exam whole."""
    if exam.views:
        return Judgement(Verdict.READY, why)
    if not any(header.kind in CEM_KINDS for header in arrival.headers):
        return Judgement(Verdict.IGNORE, "no contrast-enhanced mammogram in the study")
    if not any(cell.low_energy != cell.recombined for cell in started):
        # Nothing that could still arrive would help: the report says why, not silence.
        return Judgement(Verdict.READY, "no view can be analysed")
    return None


def grid(headers: Iterable[InstanceHeader], expected: Sequence[str]) -> tuple[GridCell, ...]:
    """The exam grid: every expected view and every other view of which something came."""
    listed = list(headers)
    paired = pair(listed).names
    kinds: dict[str, set[ImageKind]] = {name: set() for name in expected}
    for header in listed:
        if header.exclusion is None and header.kind is not ImageKind.FFDM:
            kinds.setdefault(view_name(header), set()).add(header.kind)
    for name in paired:
        kinds.setdefault(name, set()).update({ImageKind.LOW_ENERGY, ImageKind.RECOMBINED})
    return tuple(
        GridCell(
            name,
            ImageKind.LOW_ENERGY in seen,
            ImageKind.RECOMBINED in seen,
            name in paired,
        )
        for name, seen in sorted(kinds.items(), key=lambda item: _column(item[0]))
    )


def _column(name: str) -> tuple[int, str]:
    return (FULL_EXAM.index(name) if name in FULL_EXAM else len(FULL_EXAM)), name


def missing_images(headers: Iterable[InstanceHeader], expected: Sequence[str]) -> tuple[str, ...]:
    """What a full exam still lacks, in words: ``"R MLO: low-energy image"``."""
    missing = []
    for cell in grid(headers, expected):
        if not cell.paired and not (cell.low_energy or cell.recombined):
            missing.append(f"{cell.name}: both images")
        elif not cell.paired and not cell.low_energy:
            missing.append(f"{cell.name}: low-energy image")
        elif not cell.paired and not cell.recombined:
            missing.append(f"{cell.name}: recombined image")
    return tuple(missing)


def waiting_for(headers: Iterable[InstanceHeader], expected: Sequence[str]) -> str:
    """One sentence on what the study waits for."""
    missing = missing_images(headers, expected)
    return "waiting for " + ", ".join(missing) if missing else "waiting for more images"
