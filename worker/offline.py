"""Exams analysed from a folder of files, without a network."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from dicom_node.domain.header import header_from
from dicom_node.errors import CannotUnderstand, UnsuitableExam
from worker.analyse import analyse
from worker.contracts import Analysis, Role, RunIdentity
from worker.faps.predictor import Faps
from worker.reading import Source

_ENDINGS = {"application/dicom": ".dcm", "image/png": ".png", "application/json": ".json"}


@dataclass(frozen=True)
class FileExam:
    """One study's files."""

    study_instance_uid: str
    sources: tuple[Source, ...]
    input_hash: str
    written_at: datetime  # newest of its files


def find_exams(folder: Path) -> list[FileExam]:
    """Every study below ``folder``, results of this product left out.

    Raises
    ------
    UnsuitableExam
        When there is no DICOM file.

    """
    studies: dict[str, list[tuple[str, Source]]] = defaultdict(list)
    newest: dict[str, float] = defaultdict(float)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            ds = dcmread(path, stop_before_pixels=True)
            header = header_from(ds, transfer_syntax_uid=str(ds.file_meta.TransferSyntaxUID))
        except (InvalidDicomError, CannotUnderstand, AttributeError, EOFError):
            continue
        if not header.own_result:
            uid = header.study_instance_uid
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            studies[uid].append((digest, Source(header, path.read_bytes)))
            newest[uid] = max(newest[uid], path.stat().st_mtime)
    if not studies:
        raise UnsuitableExam(f"{folder}: no DICOM file there; name a folder with exams")
    return [
        FileExam(
            uid,
            tuple(source for _, source in entries),
            hashlib.sha256("\n".join(sorted(d for d, _ in entries)).encode()).hexdigest(),
            datetime.fromtimestamp(int(newest[uid]), tz=UTC),
        )
        for uid, entries in studies.items()
    ]


def analyse_files(
    exams: Sequence[FileExam],
    out: Path,
    faps: Faps,
    expected_views: Sequence[str],
    progress: Callable[[str], None],
    categories: Mapping[str, str] | None = None,
) -> Iterator[tuple[Analysis, Path]]:
    """Analyse each exam and write its objects and ``analysis.json``; one folder per exam.

    With a single exam the files lie in ``out`` itself. Results carry the time of the newest
    file: the same files give the same bytes, as the same UIDs must. ``categories`` are the
    radiologist's, as ``RunIdentity`` has them.
    """
    for number, exam in enumerate(exams, 1):
        run = RunIdentity(
            exam.study_instance_uid,
            exam.input_hash,
            1,
            exam.written_at,
            categories=categories or {},
        )
        analysis, results = analyse(exam.sources, run, faps, expected_views, progress)
        folder = out if len(exams) == 1 else out / f"exam-{number:04}"
        folder.mkdir(parents=True, exist_ok=True)
        for result in results:
            name = f"{result.role.value}_{result.key}{_ENDINGS[result.media_type]}"
            target = "analysis.json" if result.role is Role.ANALYSIS else name
            (folder / target).write_bytes(result.content)
        yield analysis, folder
