"""Received objects kept: the file in the archive, its row in the ledger, both durable."""

from __future__ import annotations

from pathlib import Path

from dicom_node.errors import ArchiveError, CommitUnknown
from dicom_node.store.archive import Archive
from dicom_node.store.intake import Intake, Received
from dicom_node.store.ledger import Ledger


class Keeper:
    """Takes finished spool files from the threads of any number of associations.

    Files and their folders are synced by each thread, at the same time; rows share commits.
    """

    def __init__(self, archive: Archive, ledger: Ledger) -> None:
        self._archive = archive
        self._ledger = ledger

    def start(self) -> None:
        """Be ready to keep."""
        self._ledger.writer.start()

    def stop(self) -> None:
        """End when everything that waits is written."""
        self._ledger.writer.stop()

    def keep(self, part: Path, received: Received) -> Intake:
        """Keep one object; on return its file and its row are durable.

        Raises
        ------
        ArchiveError
            When the disk cannot take the file.
        LedgerError
            When the database does not take the row; the file is gone again.

        """
        taken = self._archive.take_in(part, received.sha256)
        try:
            intake = self._ledger.intake.record_instance(received)
        except CommitUnknown:
            raise  # a row without its file would be worse than a file without its row
        except Exception:
            self._archive.take_back(taken)
            raise
        if not taken.path.exists():
            raise ArchiveError("its old file was removed at this moment, send it again")
        return intake
