"""One study as its page tells it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dicom_node.domain.exam import ViewPair, pair, view_name
from dicom_node.domain.instance import InstanceHeader
from dicom_node.domain.study import StudyState
from dicom_node.store.overview import StudyLine, StudySheet
from dicom_node.web.grid import ExamGrid, exam_grid
from dicom_node.web.journey import Stage, Step, TimelineRow, stages, steps, timeline, turnaround
from dicom_node.web.parcels import ResultFile, Tally, result_files, tallies
from dicom_node.web.record import Record
from dicom_node.web.records import RecordShelf
from dicom_node.web.words import (
    HELD,
    KINDS,
    NO_DESTINATION,
    NO_TAKER,
    NO_WORKER,
    REFUSED,
    REPLACED,
    STATES,
    StateWords,
    view_words,
)

_RERUN = frozenset({"held", "failed", "withdrawn"})

_RESULTS_THERE = frozenset(
    {"analysed", "delivered", "confirmed", "unsuitable", "failed", "withdrawn"}
)


@dataclass(frozen=True, kw_only=True)
class ReceivedImage:
    """One row in the table of what was received."""

    sop_instance_uid: str
    since_first: float
    name: str
    kind: str
    evidence: str
    weak: bool
    matrix: str
    size: int
    use: str  # "paired", "ignored", ...
    reason: str


@dataclass(frozen=True, kw_only=True)
class Revision:
    """One analysis of the study with everything that came of it."""

    number: int
    job_id: str
    state: str
    words: StateWords
    reason: str
    attempts: int
    bundle: str
    record: Record | None
    record_problem: str
    pictures: frozenset[tuple[str, str]]  # (role, key) of the PNGs that exist
    files: tuple[ResultFile, ...]
    tallies: tuple[Tally, ...]
    stages: tuple[Stage, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    """Everything on the page."""

    line: StudyLine
    words: StateWords
    advice: str
    command: str  # that a person may type, or ""
    fetch: str  # the same, to fetch what is missing
    performed: str  # what the modality says it made, or ""
    steps: tuple[Step, ...]
    turnaround: float | None  # seconds from the last image to the last answer
    grid: ExamGrid
    newest: Revision | None
    superseded: bool  # the newest results are older than the newest images
    older: tuple[Revision, ...]
    images: tuple[ReceivedImage, ...]
    timeline: tuple[TimelineRow, ...]


def study_page(
    sheet: StudySheet, shelf: RecordShelf, *, workers: int, destinations: int, archive: str = ""
) -> StudyPage:
    """Build the page of one study; ``archive`` is a PACS that may have what is missing."""
    line = sheet.line
    is_open = line.state == StudyState.OPEN.value
    revisions = tuple(_revision(job, sheet, shelf) for job in reversed(sheet.jobs))
    newest = revisions[0] if revisions else None
    job = None if is_open or not sheet.jobs else sheet.jobs[-1]
    sent = newest.tallies if newest is not None and job is not None else ()
    words = STATES[line.state]
    way = steps(_own_events(sheet, job), job, _last_image_at(sheet.instances, job), sent)
    return StudyPage(
        line=line,
        words=words,
        advice=_advice(line, words, newest, workers, destinations),
        command=_command(line, sent),
        fetch=_fetch(sheet, archive),
        performed="" if sheet.performed is None else sheet.performed.words,
        steps=way,
        turnaround=turnaround(way),
        grid=exam_grid(sheet.cells),
        newest=newest,
        superseded=is_open and newest is not None,
        older=revisions[1:],
        images=_images(sheet, is_open=is_open),
        timeline=timeline(sheet.events, sheet.deliveries),
    )


def _command(line: StudyLine, sent: Iterable[Tally]) -> str:
    """What a person may type to let the exam go on."""
    if any(tally.held for tally in sent):
        return f"dicom-node resend {line.study_instance_uid}"
    return f"dicom-node rerun {line.study_instance_uid}" if line.state in _RERUN else ""


def _fetch(sheet: StudySheet, archive: str) -> str:
    """What a person may type to fetch what an exam that waits or is held still lacks."""
    lacks = any(not cell.paired for cell in sheet.cells)
    if not archive or not lacks or sheet.line.state not in {StudyState.OPEN.value, "held"}:
        return ""
    return f"dicom-node pull --study {sheet.line.study_instance_uid} --from {archive}"


def _advice(
    line: StudyLine, words: StateWords, newest: Revision | None, workers: int, destinations: int
) -> str:
    """What to do next; a fault of the node itself comes before what the state says."""
    if line.state == "queued" and workers == 0:
        return NO_WORKER
    if newest is not None and line.state in _RESULTS_THERE:
        if any(tally.refused for tally in newest.tallies):
            return REFUSED
        if any(tally.held for tally in newest.tallies):
            return HELD
        if any(tally.replaced for tally in newest.tallies):
            return REPLACED
        nobody = bool(newest.files) and not newest.tallies
        if nobody and (destinations == 0 or line.state == "analysed"):
            return NO_TAKER if destinations else NO_DESTINATION
    return words.advice


def _own_events(sheet: StudySheet, job: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The study's events without those of other revisions' deliveries."""
    own = {str(row["id"]) for row in sheet.deliveries if job and row["job_id"] == job["id"]}
    return [
        event
        for event in sheet.events
        if event["subject"] != "delivery" or str(event["subject_id"]).split(" ")[0] in own
    ]


def _last_image_at(instances: Iterable[dict[str, Any]], job: dict[str, Any] | None) -> float | None:
    """When the last image came that the job could know of."""
    if job is None:
        return None
    times = [row["received_at"] for row in instances if row["received_at"] <= job["created_at"]]
    return max(times, default=None)


def _revision(job: dict[str, Any], sheet: StudySheet, shelf: RecordShelf) -> Revision:
    artefacts = [row for row in sheet.artefacts if row["job_id"] == job["id"]]
    deliveries = [row for row in sheet.deliveries if row["job_id"] == job["id"]]
    record, problem = shelf.of_job(job["id"], artefacts)
    return Revision(
        number=job["revision"],
        job_id=job["id"],
        state=job["state"],
        words=STATES[job["state"]],
        reason=job["reason"],
        attempts=job["attempts"],
        bundle=job["bundle"],
        record=record,
        record_problem=problem,
        pictures=frozenset(
            (row["role"], row["key"]) for row in artefacts if row["media_type"] == "image/png"
        ),
        files=result_files(artefacts, deliveries),
        tallies=tallies(deliveries),
        stages=stages(job["seconds"] or {}),
        seconds=sum((job["seconds"] or {}).values()),
    )


def _images(sheet: StudySheet, *, is_open: bool) -> tuple[ReceivedImage, ...]:
    kept = [row["header"] for row in sheet.instances if row["state"] == "kept"]
    exam = pair(kept)
    partners = {
        header.sop_instance_uid: view
        for view in exam.views
        for header in (view.low_energy, view.recombined)
    }
    excluded = {entry.sop_instance_uid: entry.reason for entry in exam.excluded}
    first = sheet.events[0]["at"] if sheet.events else 0.0
    return tuple(
        _image(row, row["received_at"] - first, partners, excluded, is_open=is_open)
        for row in sheet.instances
    )


def _image(
    row: dict[str, Any],
    since_first: float,
    partners: dict[str, ViewPair],
    excluded: dict[str, str],
    *,
    is_open: bool,
) -> ReceivedImage:
    header: InstanceHeader = row["header"]
    use, reason = str(row["state"]), str(row["reason"])
    if use == "kept":
        use, reason = _use(header, partners, excluded, is_open=is_open)
    if row["fault"]:
        reason = "; ".join(filter(None, (reason, f"its file is {row['fault']} on the disk")))
    if row["removed_at"] is not None:
        reason = "; ".join(filter(None, (reason, "its file was removed after storage.keep_days")))
    return ReceivedImage(
        sop_instance_uid=header.sop_instance_uid,
        since_first=since_first,
        name=view_words(view_name(header)),
        kind=KINDS[header.kind],
        evidence=header.kind_evidence,
        weak=header.kind_weak,
        matrix=_matrix(header),
        size=int(row["size"]),
        use=use,
        reason=reason,
    )


def _use(
    header: InstanceHeader,
    partners: dict[str, ViewPair],
    excluded: dict[str, str],
    *,
    is_open: bool,
) -> tuple[str, str]:
    view = partners.get(header.sop_instance_uid)
    if view is not None:
        return "paired", f"by {view.evidence}" + (" (weak evidence)" if view.weak else "")
    if is_open and header.exclusion is None:
        return "waiting", "its partner has not come yet"
    return "excluded", excluded.get(header.sop_instance_uid, header.exclusion_text)


def _matrix(header: InstanceHeader) -> str:
    return f"{header.columns} x {header.rows}" if header.rows else ""
