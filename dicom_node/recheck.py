"""A destination asked whose study it is before results go into it (C-FIND, QIDO-RS)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dicom_node import look
from dicom_node.domain.delivery import DeliveryEvent, Outcome
from dicom_node.domain.recheck import (
    COPIED,
    Judgement,
    Verdict,
    differences,
    header_of,
    judge,
    restamp,
)
from dicom_node.errors import ArchiveError, PeerError
from dicom_node.logs import logger
from dicom_node.scan import stored
from dicom_node.settings import Destination
from dicom_node.store.archive import Archive
from dicom_node.store.deliveries import Parcel
from dicom_node.store.ledger import Ledger


class Recheck:
    """One destination's gate: what passes is of the patient whom the destination knows."""

    def __init__(
        self, destination: Destination, calling_ae: str, archive: Archive, ledger: Ledger
    ) -> None:
        self._destination = destination
        self._calling_ae = calling_ae
        self._archive = archive
        self._ledger = ledger
        self._log = logger("recheck").bind(destination=destination.name)

    def passed(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        """Those of one job's parcels that may go out now; the ledger says why others may not."""
        if self._destination.recheck == "off" or not parcels:
            return list(parcels)
        free = [parcel for parcel in parcels if parcel.released]
        asked = [parcel for parcel in parcels if not parcel.released]
        return free + (self._judged(asked) if asked else [])

    def _judged(self, parcels: list[Parcel]) -> list[Parcel]:
        try:
            found = self._judge(parcels)
            if found.verdict is Verdict.RESTAMP:
                return self._restamp(parcels, found)
        except (PeerError, ArchiveError) as error:
            found = Judgement(verdict=Verdict.WAIT, reason=str(error))
        except ValueError:
            # The text of the error may quote the patient's data.
            found = Judgement(
                verdict=Verdict.HOLD, reason="has patient data that no DICOM object can hold"
            )
        if found.verdict is Verdict.SEND:
            return parcels
        if found.verdict is Verdict.WAIT:
            outcome = Outcome(event=DeliveryEvent.TRANSIENT, status=None, reason=found.reason)
            self._ledger.deliveries.postpone(parcels, outcome, self._destination.patience)
        else:
            job_id, name = parcels[0].job_id, self._destination.name
            self._ledger.rechecks.hold(job_id, name, found.reason)
        self._log.warning(
            found.verdict.value, job=parcels[0].job_id, objects=len(parcels), reason=found.reason
        )
        return []

    def _judge(self, parcels: Sequence[Parcel]) -> Judgement:
        answers = self._ask(parcels[0].study_instance_uid)
        ours = [self._header(parcel.sha256) for parcel in parcels]
        there = self._ledger.rechecks.there(parcels[0].job_id, self._destination.name)
        headers = [self._header(sha256) for sha256 in there]
        return judge(self._destination.recheck, ours, answers, headers)

    def _ask(self, study_instance_uid: str) -> list[dict[str, str]]:
        """What the destination says of the study: nothing, or an answer for each time it has it."""
        answers = look.studies(self._destination, self._calling_ae, study_instance_uid, COPIED)
        return [header_of(answer) for answer in answers]

    def _header(self, sha256: str) -> dict[str, str]:
        return header_of(stored(self._archive.path(sha256), COPIED))

    def _restamp(self, parcels: Sequence[Parcel], found: Judgement) -> list[Parcel]:
        """Give objects the destination's own values, as new bytes beside the old."""
        ready, hashes = [], {}
        for parcel in parcels:
            sha256 = parcel.sha256
            if differences(self._header(sha256), found.values):
                sha256 = self._archive.put(restamp(self._archive.read(sha256), found.values))
                hashes[parcel.delivery_id] = sha256
            ready.append(replace(parcel, sha256=sha256))
        job_id, name = parcels[0].job_id, self._destination.name
        self._ledger.rechecks.restamp(job_id, name, hashes, found.reason)
        self._log.warning("restamped", job=job_id, objects=len(hashes), reason=found.reason)
        return ready
