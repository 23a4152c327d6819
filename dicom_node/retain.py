"""Received images removed once their exam has long been delivered; results and rows stay."""

from __future__ import annotations

from dataclasses import dataclass

from dicom_node.logs import logger
from dicom_node.sections import Storage
from dicom_node.store.archive import Archive
from dicom_node.store.ledger import Ledger

DAY_S = 86400.0
EVERY_S = 600.0


@dataclass
class Swept:
    """What was removed."""

    exams: int = 0
    files: int = 0


class Retainer:
    """Safe to be killed at any moment: what is marked is removed the next time."""

    def __init__(self, storage: Storage, archive: Archive, ledger: Ledger) -> None:
        self._keep_s = storage.keep_days * DAY_S
        self._archive = archive
        self._ledger = ledger
        self._log = logger("retain")

    def tick(self) -> float:
        """Remove what is due; seconds until the next look."""
        swept = self.sweep()
        if swept.files:
            self._log.info("old images removed", count=swept.files)
        return EVERY_S

    def sweep(self) -> Swept:
        """Rows first, then files."""
        swept = Swept()
        retention = self._ledger.retention
        if self._keep_s > 0:
            while due := retention.due(self._keep_s):
                done = sum(retention.forget(study, self._keep_s) for study in due)
                swept.exams += done
                if not done:
                    break
        swept.files = sum(retention.erase(h, self._archive.remove) for h in retention.pending())
        return swept
