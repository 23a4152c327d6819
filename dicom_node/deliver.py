"""Stored results sent to one destination, with an outcome for each object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pydicom import dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from dicom_node.associate import association
from dicom_node.domain.delivery import DeliveryEvent, DeliveryState, Outcome, outcome_of
from dicom_node.domain.offers import class_words
from dicom_node.errors import ArchiveError, NothingAccepted, PeerError
from dicom_node.logs import logger
from dicom_node.recheck import Recheck
from dicom_node.settings import Destination
from dicom_node.store.archive import Archive
from dicom_node.store.deliveries import Parcel
from dicom_node.store.ledger import Ledger

LOOK_S = 0.2


class Deliverer:
    """One destination's postman: a slow destination delays nobody but itself."""

    def __init__(
        self,
        destination: Destination,
        calling_ae: str,
        archive: Archive,
        ledger: Ledger,
        delivered: Callable[[], None],
    ) -> None:
        self._destination = destination
        self._calling_ae = calling_ae
        self._archive = archive
        self._ledger = ledger
        self._delivered = delivered
        self._recheck = Recheck(destination, calling_ae, archive, ledger)
        self._log = logger("deliver").bind(destination=destination.name)
        # The stored bytes go out as they are: what is sent twice is the same object.
        _config.STORE_SEND_CHUNKED_DATASET = True

    def tick(self) -> float:
        """Send what is due of one job; seconds until the next look."""
        due = self._ledger.deliveries.due(self._destination.name)
        if not due:
            return LOOK_S
        parcels = self._recheck.passed(due)
        if parcels:
            self._deliver(parcels)
        self._delivered()
        return 0.0

    def _deliver(self, parcels: Sequence[Parcel]) -> None:
        sop_classes = sorted({parcel.sop_class_uid for parcel in parcels})
        contexts = [
            build_context(sop_class, syntax)
            for sop_class in sop_classes
            # A context each: a peer may take either, and our files are explicit VR little endian.
            for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
        ]
        try:
            with association(self._destination, self._calling_ae, contexts) as assoc:
                self._send_all(assoc, parcels)
        except NothingAccepted:
            for parcel in parcels:
                if self._ledger.deliveries.begin(parcel):
                    self._end(parcel, _not_taken(parcel))
        except PeerError as error:
            outcome = Outcome(event=DeliveryEvent.TRANSIENT, status=None, reason=str(error))
            self._ledger.deliveries.postpone(parcels, outcome, self._destination.retry_s)
            self._log.warning("destination not reached", reason=str(error), objects=len(parcels))

    def _send_all(self, assoc: Association, parcels: Sequence[Parcel]) -> None:
        for parcel in parcels:
            if not assoc.is_established:
                return  # the rest is still due and goes out on the next association
            if self._ledger.deliveries.begin(parcel):  # else newer ones came, or it is withdrawn
                self._end(parcel, self._send(assoc, parcel))

    def _end(self, parcel: Parcel, outcome: Outcome) -> None:
        """Write down an attempt; others go in place of what is not taken."""
        if outcome.not_taken:
            outcome = replace(outcome, instead=self._destination.instead_of(parcel.role))
        state = self._ledger.deliveries.end(parcel, outcome, self._destination.retry_s)
        ended = state in {DeliveryState.REFUSED, DeliveryState.REPLACED}
        (self._log.warning if ended else self._log.info)(
            state.value if ended else "sent",
            job=parcel.job_id,
            sop_instance=parcel.sop_instance_uid,
            state=outcome.event.value,
            reason=outcome.reason,
        )

    def _send(self, assoc: Association, parcel: Parcel) -> Outcome:
        accepted = [
            context
            for context in assoc.accepted_contexts
            if context.abstract_syntax == UID(parcel.sop_class_uid)
        ]
        if not accepted:
            return _not_taken(parcel)
        try:
            self._archive.read(parcel.sha256)
        except ArchiveError as error:
            return Outcome(event=DeliveryEvent.TRANSIENT, status=None, reason=str(error))
        as_stored = any(ExplicitVRLittleEndian in context.transfer_syntax for context in accepted)
        path = self._archive.path(parcel.sha256)
        try:
            # A peer that knows only implicit VR gets the same data set written anew.
            answer = assoc.send_c_store(path if as_stored else dcmread(path))
        except Exception as error:  # noqa: BLE001 - the edge of the wire: the parcel must not stay SENT
            reason = f"{type(error).__name__}: {error}"
            return Outcome(event=DeliveryEvent.NO_ANSWER, status=None, reason=reason)
        status = int(answer.Status) if "Status" in answer else None
        outcome = outcome_of(status, str(answer.get("ErrorComment") or ""))
        return _not_taken(parcel, outcome) if outcome.not_taken else outcome


def _not_taken(parcel: Parcel, outcome: Outcome | None = None) -> Outcome:
    """The class is not taken: no presentation context for it, or the answer says so."""
    reason = f"does not take {class_words(parcel.sop_class_uid)}"
    if outcome is not None:
        return replace(outcome, reason=f"{reason}, {outcome.reason}")
    return Outcome(event=DeliveryEvent.REFUSAL, status=None, reason=reason, not_taken=True)
