"""Stored results sent to one destination, with an outcome for each object."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Protocol

from dicom_node.carry import DicomCarrier, not_taken
from dicom_node.destination_section import Destination
from dicom_node.dicomweb import WebCarrier
from dicom_node.domain.delivery import DeliveryEvent, DeliveryState, Outcome
from dicom_node.errors import NothingAccepted, PeerError
from dicom_node.images_first import ImagesFirst
from dicom_node.logs import logger
from dicom_node.recheck import Recheck
from dicom_node.store.archive import Archive
from dicom_node.store.deliveries import Parcel
from dicom_node.store.ledger import Ledger

LOOK_S = 0.2


class Carrier(Protocol):
    """How objects travel: over an association, or over the web."""

    @property
    def is_open(self) -> bool:
        """Whether the next object can be sent."""

    def open(self, sop_classes: Collection[str]) -> bool:
        """Get ready to send objects of these classes; whether a connection was made for it."""

    def send(self, parcel: Parcel) -> Outcome:
        """Send one object."""

    def rest(self) -> None:
        """Nothing is to be sent now."""

    def close(self) -> None:
        """End whatever is open."""

    def probe(self) -> None:
        """Ask whether the destination is there; a ``PeerError`` says that it is not."""


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
        self._ledger = ledger
        self._delivered = delivered
        self._recheck = Recheck(destination, calling_ae, archive, ledger)
        self._images = ImagesFirst(destination, calling_ae, ledger)
        self._carrier: Carrier = (
            WebCarrier(destination, archive)
            if destination.kind == "dicomweb"
            else DicomCarrier(destination, calling_ae, archive)
        )
        self._log = logger("deliver").bind(destination=destination.name)

    def tick(self) -> float:
        """Send what is due of one job; seconds until the next look."""
        if self._is_down():
            return LOOK_S
        due = self._ledger.deliveries.due(self._destination.name)
        if not due:
            self._carrier.rest()
            return LOOK_S
        try:
            parcels, remark = self._images.passed(due)
        except PeerError as error:
            self._not_reached(due, str(error))
            return 0.0
        parcels = self._recheck.passed(parcels)
        if parcels:
            self._deliver(parcels, remark)
            if not self._destination.keep_open_s:
                self._carrier.close()
        self._delivered()
        return 0.0

    def close(self) -> None:
        """Release what is kept open; call once nobody ticks any more."""
        self._carrier.close()

    def _is_down(self) -> bool:
        """Whether the destination is taken for down; a probe, when one is due, finds it again."""
        name = self._destination.name
        reach, at = self._ledger.destinations.reach(name)
        if reach.probe_at is None:
            return False
        self._carrier.close()
        if at < reach.probe_at:
            return True
        try:
            self._carrier.probe()
        except PeerError as error:
            self._ledger.destinations.unreached(name, str(error))
            self._ledger.deliveries.down(name, str(error), self._destination.patience)
            return True
        self._ledger.destinations.answered(name)
        down_s = at - (reach.down_since or at)
        self._log.info("destination back", reason=f"after {down_s:.0f} s")
        return False

    def _deliver(self, parcels: Sequence[Parcel], remark: str) -> None:
        try:
            new = self._carrier.open({parcel.sop_class_uid for parcel in parcels})
        except NothingAccepted:
            self._ledger.destinations.reached(self._destination.name)
            for parcel in parcels:
                if self._ledger.deliveries.begin(parcel):
                    self._end(parcel, not_taken(parcel.sop_class_uid))
            return
        except PeerError as error:
            self._not_reached(parcels, str(error))
            return
        if new:
            self._ledger.destinations.reached(self._destination.name)
        self._send(parcels, remark)

    def _send(self, parcels: Sequence[Parcel], remark: str) -> None:
        for parcel in parcels:
            if not self._carrier.is_open:
                return  # the rest is still due and goes out on the next association
            # Not begun: newer ones came, or it is withdrawn.
            if self._ledger.deliveries.begin(parcel, remark):
                self._end(parcel, self._carrier.send(parcel))

    def _not_reached(self, parcels: Sequence[Parcel], reason: str) -> None:
        outcome = Outcome(event=DeliveryEvent.TRANSIENT, status=None, reason=reason)
        self._ledger.deliveries.postpone(parcels, outcome, self._destination.patience)
        reach = self._ledger.destinations.unreached(self._destination.name, reason)
        words = "destination down" if reach.down else "destination not reached"
        self._log.warning(words, reason=reason, objects=len(parcels))

    def _end(self, parcel: Parcel, outcome: Outcome) -> None:
        """Write down an attempt; others go in place of what is not taken."""
        if outcome.not_taken:
            outcome = replace(outcome, instead=self._destination.instead_of(parcel.role))
        state = self._ledger.deliveries.end(parcel, outcome, self._destination.patience)
        ended = state in {DeliveryState.REFUSED, DeliveryState.REPLACED}
        (self._log.warning if ended else self._log.info)(
            state.value if ended else "sent",
            job=parcel.job_id,
            sop_instance=parcel.sop_instance_uid,
            state=outcome.event.value,
            # Not the reason: a destination's Error Comment may name the patient.
            status="none" if outcome.status is None else f"0x{outcome.status:04X}",
        )
