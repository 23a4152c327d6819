"""Records of analyses out of the archive, parsed once each."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from dicom_node.errors import ArchiveError
from dicom_node.store.archive import Archive
from dicom_node.web.record import Record, RecordError, read_record

KEPT = 512  # records; a few kB each once parsed


class RecordShelf:
    """Reads by hash, so that what was read once never becomes wrong."""

    def __init__(self, archive: Archive) -> None:
        self._read = lru_cache(maxsize=KEPT)(lambda sha256: read_record(archive.read(sha256)))

    def of_job(self, job_id: str, artefacts: Iterable[dict[str, Any]]) -> tuple[Record | None, str]:
        """The record among a job's artefacts, or ``None`` with the reason why there is none."""
        for artefact in artefacts:
            if artefact["role"] == "analysis" and artefact["job_id"] == job_id:
                try:
                    return self._read(str(artefact["sha256"])), ""
                except (ArchiveError, RecordError) as error:
                    return None, str(error)
        return None, ""
