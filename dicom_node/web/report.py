"""The page that shows one analysis's report in words, under its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dicom_node.domain.exam import view_name
from dicom_node.domain.instance import InstanceHeader
from dicom_node.store.overview import StudyLine, StudySheet
from dicom_node.web.document import Document, document
from dicom_node.web.words import KINDS, view_words


@dataclass(frozen=True, kw_only=True)
class ReportPage:
    """Everything on the page."""

    line: StudyLine
    revision: int
    report: Document
    pictures: tuple[tuple[str, str], ...]  # name of the view, address of its picture


def report_page(sheet: StudySheet, job_id: str, content: bytes) -> ReportPage:
    """The report ``content`` of a job of ``sheet``'s study."""
    revision = next(int(job["revision"]) for job in sheet.jobs if job["id"] == job_id)
    return ReportPage(
        line=sheet.line,
        revision=revision,
        report=document(content, dict(_image_names(sheet))),
        pictures=tuple(_pictures(sheet, job_id)),
    )


def _image_names(sheet: StudySheet) -> Iterator[tuple[str, str]]:
    """``"R CC, recombined"`` under each image's UID."""
    for row in sheet.instances:
        header: InstanceHeader = row["header"]
        yield header.sop_instance_uid, f"{view_words(view_name(header))}, {KINDS[header.kind]}"


def _pictures(sheet: StudySheet, job_id: str) -> Iterator[tuple[str, str]]:
    uid = sheet.line.study_instance_uid
    for artefact in sheet.artefacts:
        if artefact["job_id"] == job_id and artefact["role"] == "preview":
            key = str(artefact["key"])
            yield key.replace("-", " "), f"/study/{uid}/{job_id}/preview/{key}.png"
