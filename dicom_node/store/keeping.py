"""Received objects kept: the file in the archive, its row in the ledger, both durable."""

from __future__ import annotations

from pathlib import Path

from dicom_node.errors import ArchiveError
from dicom_node.store.archive import Archive
from dicom_node.store.intake import Intake, Received
from dicom_node.store.ledger import Ledger


class Keeper:
    """Takes finished spool files from the threads of any number of associations."""

    def __init__(self, archive: Archive, ledger: Ledger) -> None:
        self._archive = archive
        self._ledger = ledger

    def start(self) -> None:
        """Be ready to keep."""

    def stop(self) -> None:
        """End when everything that waits has been answered."""

    def keep(self, part: Path, received: Received) -> Intake:
        """Keep one object; on return its file and its row are durable.

        Raises
        ------
        ArchiveError
            When the disk cannot take the file.
        LedgerError
            When the database does not take the row.

        """
        self._archive.adopt(part, received.sha256)
        intake = self._ledger.intake.record_instance(received)
        if intake is Intake.DUPLICATE and not self._archive.path(received.sha256).exists():
            raise ArchiveError("its old file was removed at this moment, send it again")
        return intake
