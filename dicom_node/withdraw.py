"""Rejection notes on results that count no more, one for each set and destination."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO

from pydicom import dcmread
from pydicom.uid import KeyObjectSelectionDocumentStorage

from dicom_node.domain.dicom_file import file_bytes
from dicom_node.domain.rejection import REJECTION, Rejection, rejection_note
from dicom_node.errors import ArchiveError
from dicom_node.logs import logger
from dicom_node.settings import Destination
from dicom_node.store.archive import Archive
from dicom_node.store.jobs import Artefact
from dicom_node.store.ledger import Ledger
from dicom_node.store.withdrawals import Order

LOOK_S = 1.0


class Withdrawer:
    """Writes what a newer revision or a person has made necessary; delivery is the postman's."""

    def __init__(
        self, destinations: Sequence[Destination], archive: Archive, ledger: Ledger
    ) -> None:
        self._destinations = destinations
        self._archive = archive
        self._ledger = ledger
        self._log = logger("withdraw")

    def tick(self) -> float:
        """Write every note that is due; seconds until the next look."""
        for destination in self._destinations:
            if destination.withdraw == "rejection_note":
                self._ledger.withdrawals.replace(destination.name)
            for order in self._ledger.withdrawals.due(destination.name):
                try:
                    note = self._write(order)
                except ArchiveError as error:
                    # Tried again: a note that left out an object would let that count still.
                    self._log.error("note not written", job=order.job_id, reason=str(error))
                    continue
                self._ledger.withdrawals.write(
                    order,
                    note,
                    needs_commitment=destination.needs_commitment,
                    needs_sight=destination.needs_sight,
                )
                self._log.info(
                    "note written",
                    job=order.job_id,
                    destination=order.destination,
                    sop_instance=note.sop_instance_uid,
                    objects=len(order.hashes),
                )
        return LOOK_S

    def _write(self, order: Order) -> Artefact:
        objects = [
            dcmread(BytesIO(self._archive.read(sha256)), stop_before_pixels=True)
            for sha256 in order.hashes
        ]
        rejection = Rejection(
            job_id=order.job_id,
            destination=order.destination,
            reason=order.reason,
            words=order.words,
            at=datetime.fromtimestamp(int(order.asked_at), tz=UTC).astimezone(),
            version=f"FAPS Node {version('faps-node')}",
        )
        ds = rejection_note(objects, rejection)
        content = file_bytes(ds)
        return Artefact(
            role=REJECTION,
            key=order.key,
            media_type="application/dicom",
            sop_class_uid=str(KeyObjectSelectionDocumentStorage),
            sop_instance_uid=str(ds.SOPInstanceUID),
            sha256=self._archive.put(content),
            size=len(content),
        )
