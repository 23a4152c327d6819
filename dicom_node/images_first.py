"""Results held back until their destination has the images that they are drawn on."""

from __future__ import annotations

from collections.abc import Sequence

from dicom_node import look
from dicom_node.destination_section import Destination
from dicom_node.errors import NothingAccepted
from dicom_node.logs import logger
from dicom_node.store.deliveries import Parcel
from dicom_node.store.ledger import Ledger

LOOK_AGAIN_S = 30.0


class ImagesFirst:
    """One destination's gate: results that come first may make a study of their own."""

    def __init__(self, destination: Destination, calling_ae: str, ledger: Ledger) -> None:
        self._destination = destination
        self._calling_ae = calling_ae
        self._ledger = ledger
        self._log = logger("images_first").bind(destination=destination.name)

    def passed(self, parcels: Sequence[Parcel]) -> tuple[list[Parcel], str]:
        """Those of one job's parcels that may go now, and a remark if images are not there.

        Raises
        ------
        PeerError
            When the destination cannot be asked now.

        """
        if not self._destination.images_first or not parcels:
            return list(parcels), ""
        waited_s, images = self._ledger.deliveries.sources(parcels[0])
        why = self._missing(parcels[0].study_instance_uid, images)
        if not why:
            return list(parcels), ""
        if waited_s >= self._destination.images_wait_s:
            remark = f"sent without waiting any longer: {why}"
            self._log.warning("images missing", job=parcels[0].job_id, reason=remark)
            return list(parcels), remark
        self._ledger.deliveries.hold_back(parcels, f"waits: {why}", LOOK_AGAIN_S)
        return [], ""

    def _missing(self, study: str, images: Sequence[tuple[str, str]]) -> str:
        """What of the images (series, instance) the destination has not, in words."""
        try:
            there = look.instances(
                self._destination, self._calling_ae, study, (series for series, _ in images)
            )
        except NothingAccepted:
            return f"{self._destination.name} cannot be asked for the images"
        missing = sum(instance not in there for _, instance in images)
        return f"{missing} of {len(images)} images of the exam are not there" if missing else ""
