"""The archive compared with the ledger day by day: files missing, changed, known to no row."""

from __future__ import annotations

import math
import time
from pathlib import Path

from dicom_node.errors import ArchiveError
from dicom_node.logs import logger
from dicom_node.sections import Storage
from dicom_node.store.archive import Archive
from dicom_node.store.files import sha256_of
from dicom_node.store.ledger import Ledger
from dicom_node.store.verification import TABLES, Filed, FileFault

DAY_S = 86400.0
ORPHAN_S = 3600.0  # a file may be older than its row by the time that one object takes
ROWS = 100  # looked at in one tick
PAUSE_S = 0.5
_HASHES = 1 << 32  # by their first 32 bits


class Verifier:
    """Goes through folders, then rows, a little in each tick; a restart begins anew."""

    def __init__(self, storage: Storage, archive: Archive, ledger: Ledger) -> None:
        self._share = math.ceil(storage.verify_percent / 100 * _HASHES)  # of a day
        self._archive = archive
        self._ledger = ledger.verification
        self._log = logger("verify")
        self._folders: list[Path] | None = None
        self._tables: list[str] = []
        self._last_id = 0

    def tick(self) -> float:
        """Do the next part; seconds until the one after it."""
        if self._folders is None:
            self._return_known()
            self._folders = self._filled()
            self._tables, self._last_id = list(TABLES), 0
        if self._folders:
            self._set_aside(self._folders.pop())
            return PAUSE_S
        if self._tables:
            self._look_at_rows(self._tables[0])
            return PAUSE_S
        self._folders = None
        return DAY_S

    def orphans(self) -> int:
        """Set every file aside that no row names; how many."""
        self._return_known()
        return sum(map(self._set_aside, self._filled()))

    def _filled(self) -> list[Path]:
        """Folders of the archive with anything in them: most are empty for a long time."""
        folders = sorted(self._archive.objects.iterdir())
        return [folder for folder in folders if next(folder.iterdir(), None)]

    def _return_known(self) -> None:
        if number := self._archive.return_known(self._ledger.known):
            self._log.warning("files put back from the quarantine", count=number)

    def _set_aside(self, folder: Path) -> int:
        """Files of one folder that are old enough to have a row, and have none."""
        old = {path.name: path for path in self._archive.older(folder, ORPHAN_S)}
        unknown = old.keys() - self._ledger.known(old)
        moved = 0
        for name in sorted(unknown):
            if self._archive.set_aside(old[name], ORPHAN_S, self._is_known):
                self._ledger.set_aside(name)
                self._log.warning("file without a row set aside", sha256=name[:12])
                moved += 1
        return moved

    def _is_known(self, name: str) -> bool:
        return bool(self._ledger.known([name]))

    def _look_at_rows(self, table: str) -> None:
        rows = self._ledger.after(table, self._last_id, ROWS)
        for filed in rows:
            self._look_at(filed)
        if rows:
            self._last_id = rows[-1].id
        else:
            self._tables.pop(0)
            self._last_id = 0

    def _look_at(self, filed: Filed) -> None:
        fault = self._fault(filed)
        if fault is filed.fault or not self._ledger.note(filed, fault):
            return
        if fault is FileFault.NONE:
            self._log.info("object is back", sop_instance=filed.subject_id)
        else:
            self._log.error(
                f"object {fault.value}",
                sop_instance=filed.subject_id,
                sha256=filed.sha256[:12],
                folder=str(self._archive.path(filed.sha256).parent),
            )

    def _fault(self, filed: Filed) -> FileFault:
        path = self._archive.path(filed.sha256)
        if not path.exists():
            return FileFault.MISSING
        if filed.fault is FileFault.NONE and not self._is_due(filed.sha256):
            return FileFault.NONE
        try:
            return FileFault.NONE if sha256_of(path) == filed.sha256 else FileFault.CHANGED
        except OSError as error:
            raise ArchiveError(f"object {filed.sha256[:12]}…: {error.strerror}") from None

    def _is_due(self, sha256: str) -> bool:
        """Whether today is this file's day: each day has the next part of all hashes."""
        begin = int(time.time() // DAY_S) * self._share
        return (int(sha256[:8], 16) - begin) % _HASHES < self._share
