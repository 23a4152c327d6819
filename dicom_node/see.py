"""What a destination accepted looked for in the study there: the last rung of the proof."""

from __future__ import annotations

from dicom_node import look
from dicom_node.destination_section import Destination
from dicom_node.errors import ArchiveError, NothingAccepted, PeerError
from dicom_node.logs import logger
from dicom_node.scan import stored
from dicom_node.store.archive import Archive
from dicom_node.store.ledger import Ledger
from dicom_node.store.proofs import Look

LOOK_S = 0.5


class Seer:
    """Asks one destination for results that it should list by now (C-FIND, QIDO-RS)."""

    def __init__(
        self, destination: Destination, calling_ae: str, archive: Archive, ledger: Ledger
    ) -> None:
        self._destination = destination
        self._calling_ae = calling_ae
        self._archive = archive
        self._ledger = ledger
        self._log = logger("see").bind(destination=destination.name)

    def tick(self) -> float:
        """Look for what is due; seconds until the next look."""
        proofs, name = self._ledger.proofs, self._destination.name
        for due in proofs.to_look_for(name):
            if self._ledger.destinations.reach(name)[0].down:
                break  # one probe is enough to find it again
            try:
                series = [self._series(sha256) for _, sha256 in due.objects.values()]
                found = look.instances(
                    self._destination, self._calling_ae, due.study_instance_uid, series
                )
            except NothingAccepted as error:
                self._not_asked(due, str(error))
                self._give_up(f"{name} offers no query, so nobody has looked", lacking=True)
            except (PeerError, ArchiveError) as error:
                self._not_asked(due, str(error))
            else:
                proofs.looked(due, found)
                there = sum(uid in found for uid, _ in due.objects.values())
                self._log.info("looked", job=due.job_id, reason=f"{there} of {len(due.objects)}")
        hours = self._destination.confirm_by_hours
        self._give_up(f"no query was answered within {hours:g} h", lacking=False)
        return LOOK_S

    def _not_asked(self, due: Look, reason: str) -> None:
        self._ledger.proofs.asked(tuple(due.objects))
        self._log.warning("not looked for", job=due.job_id, reason=reason)

    def _give_up(self, reason: str, *, lacking: bool) -> None:
        within_s = self._destination.confirm_by_hours * 3600.0
        ended = self._ledger.proofs.give_up(
            self._destination.name, "sight", reason, within_s=within_s, lacking=lacking
        )
        if ended:
            self._log.warning("proof ended", objects=ended, reason=reason)

    def _series(self, sha256: str) -> str:
        header = stored(self._archive.path(sha256), ["SeriesInstanceUID"])
        uid = str(header.get("SeriesInstanceUID", ""))
        if not uid:
            raise ArchiveError(f"object {sha256[:12]}… has no Series Instance UID")
        return uid
