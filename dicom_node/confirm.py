"""Proof that a destination keeps what it accepted: Storage Commitment as SCU (PS3.4 Annex J)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made dynamically
    StorageCommitmentPushModel,
)

from dicom_node.associate import association, demand_success
from dicom_node.destination_section import Destination
from dicom_node.domain.dimse import PUSH_MODEL_INSTANCE, REQUEST_COMMITMENT, UNCOMPRESSED
from dicom_node.errors import LedgerError, NothingAccepted, PeerError
from dicom_node.logs import logger
from dicom_node.store.commitments import Request
from dicom_node.store.ledger import Ledger

LOOK_S = 0.5
SAME_ASSOCIATION_S = 1.0  # some PACS report before we hang up; the others call back


class Confirmer:
    """Asks each destination that offers it, and takes the reports."""

    def __init__(
        self, destinations: Sequence[Destination], calling_ae: str, ledger: Ledger
    ) -> None:
        self._destinations = [d for d in destinations if d.needs_commitment]
        self._calling_ae = calling_ae
        self._ledger = ledger
        self._log = logger("confirm")
        self._reported = threading.Event()

    def handlers(self) -> list[tuple[object, Callable[..., object]]]:
        """What the port shall call when a PACS calls back."""
        return [(evt.EVT_N_EVENT_REPORT, self.report)]

    def tick(self) -> float:
        """Ask for what was accepted and not yet committed; seconds until the next look."""
        for destination in self._destinations:
            name = destination.name
            if not self._ledger.destinations.reach(name)[0].down:
                for request in self._ledger.commitments.due(name):
                    self._ask(destination, request)
            hours = destination.confirm_by_hours
            self._give_up(destination, f"no commitment was reported within {hours:g} h")
        return LOOK_S

    def _ask(self, destination: Destination, request: Request) -> None:
        self._reported.clear()
        contexts = [build_context(StorageCommitmentPushModel, list(UNCOMPRESSED))]
        try:
            with association(destination, self._calling_ae, contexts, self.handlers()) as assoc:
                status, _ = assoc.send_n_action(
                    _references(request),
                    REQUEST_COMMITMENT,
                    StorageCommitmentPushModel,
                    PUSH_MODEL_INSTANCE,
                )
                demand_success(destination, "commitment request", status)
                self._reported.wait(SAME_ASSOCIATION_S)
        except NothingAccepted as error:
            self._not_asked(destination, str(error))
            words = f"{destination.name} offers no Storage Commitment"
            self._give_up(destination, words, lacking=True)
        except PeerError as error:
            self._not_asked(destination, str(error))

    def _not_asked(self, destination: Destination, reason: str) -> None:
        self._log.warning("commitment not asked", destination=destination.name, reason=reason)

    def _give_up(self, destination: Destination, reason: str, *, lacking: bool = False) -> None:
        """End this rung where its time is over, or the service was missing again and again."""
        within_s = destination.confirm_by_hours * 3600.0
        ended = self._ledger.proofs.give_up(
            destination.name, "commitment", reason, within_s=within_s, lacking=lacking
        )
        if ended:
            self._log.warning(
                "proof ended", destination=destination.name, objects=ended, reason=reason
            )

    def report(self, event: evt.Event) -> tuple[int, None]:
        """Take an N-EVENT-REPORT (PS3.4 J.3.3) and answer it."""
        try:
            report = event.event_information
            committed = {
                str(item.ReferencedSOPInstanceUID)
                for item in report.get("ReferencedSOPSequence") or []
            }
            failed = {
                str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason") or 0)
                for item in report.get("FailedSOPSequence") or []
            }
            self._take(str(report.TransactionUID), committed - failed.keys(), failed)
        except LedgerError as error:
            self._log.error("report not recorded", reason=str(error))
            return 0x0110, None  # PS3.7 C: processing failure; the PACS may report again
        except Exception as error:  # noqa: BLE001 - the edge of the wire
            self._log.error("report not understood", error=error)
            return 0x0110, None
        return 0x0000, None

    def _take(self, transaction_uid: str, committed: set[str], failed: dict[str, int]) -> None:
        words = f"{len(committed)} committed, {len(failed)} not"
        found = self._ledger.commitments.answered(transaction_uid, words)
        if found is None:
            self._log.warning("report on an unknown transaction")
            return
        job_id, destination = found
        self._ledger.proofs.confirm(job_id, destination, committed, failed)
        self._log.info("confirmed", job=job_id, destination=destination, reason=words)
        self._reported.set()


def _references(request: Request) -> Dataset:
    ds = Dataset()
    ds.TransactionUID = request.transaction_uid
    ds.ReferencedSOPSequence = []
    for sop_class_uid, sop_instance_uid in request.references:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class_uid
        item.ReferencedSOPInstanceUID = sop_instance_uid
        ds.ReferencedSOPSequence.append(item)
    return ds
