"""A finished exam's way through the node in words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicom_node.store.archive import Archive
from dicom_node.store.overview import StudySheet

RESEARCH_USE = "Research use, not for diagnosis."


@dataclass(frozen=True)
class Trip:
    """One exam's sheet at its end, and when its last image was answered."""

    sheet: StudySheet
    last_answer_at: float


def summary(trip: Trip, archive: Archive, page: str, received: Path) -> str:
    """Findings, times by stage, and where to look."""
    lines = ["", f"Exam {trip.sheet.line.accession_number} is {trip.sheet.line.state}."]
    if trip.sheet.line.reason:
        lines.append(f"  {trip.sheet.line.reason}")
    lines += ["", "Findings", *_findings(trip.sheet, archive)]
    lines += ["", "Time after the last image's C-STORE answer", *_times(trip)]
    lines += ["", f"Came back to the PACS, in {received}"]
    lines += [f"  {d['role'].upper():4} {d['key']:8} {d['state']}" for d in trip.sheet.deliveries]
    lines += ["", f"Page   {page}study/{trip.sheet.line.study_instance_uid}", RESEARCH_USE]
    return "\n".join(lines)


def _findings(sheet: StudySheet, archive: Archive) -> list[str]:
    records = [a for a in sheet.artefacts if a["role"] == "analysis"]
    if not records:
        return ["  none"]
    analysis: dict[str, Any] = json.loads(archive.read(records[-1]["sha256"]))
    lines = []
    for finding in analysis["findings"]:
        p = finding["p_malignant"]
        chance = "" if p is None else f", probability of malignancy {100 * p:.0f} %"
        lines.append(f"  {finding['laterality']}: {finding['decision']}{chance}")
        for view in finding["views"]:
            lines.extend(f"     {view['view']}: {_size(lesion)}" for lesion in view["lesions"])
    return lines


def _size(lesion: dict[str, Any]) -> str:
    axis, area = lesion["long_axis_mm"], lesion["area_mm2"]
    if axis is None or area is None:
        return f"lesion of {lesion['area_px']} pixels"
    return f"lesion {axis:.1f} mm long, {area:.0f} mm2"


def _times(trip: Trip) -> list[str]:
    """Each step's moment and duration; the first line counts from the sender's last answer."""
    moments = [
        (label, event["at"])
        for label, subject, name in _STEPS
        for event in trip.sheet.events
        if event["subject"] == subject and event["event"] == name
    ]
    last: dict[str, float] = {}
    for label, at in moments:
        last[label] = max(at, last.get(label, at))
    lines, before = [], trip.last_answer_at
    for label, at in last.items():
        lines.append(f"  {label:24} {at - trip.last_answer_at:z6.2f} s   ({at - before:+z.2f})")
        before = at
    stages = trip.sheet.jobs[-1]["seconds"] if trip.sheet.jobs else {}
    inside = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in stages.items())
    return [*lines, f"  of which the analysis: {inside} s"] if inside else lines


_STEPS = (
    ("exam complete", "study", "closed"),
    ("claimed by a worker", "job", "claimed"),
    ("results stored", "job", "results_stored"),
    ("last result in the PACS", "delivery", "success"),
    ("confirmed by the PACS", "job", "all_confirmed"),
)
