"""A modality that sends until everything is acknowledged, and writes down what was."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)
from pynetdicom import AE, _config
from pynetdicom.association import Association

from tests.faults.exams import Image
from tests.faults.ledgers import PeerLedger

PAUSE_S = 0.4
ANSWER_S = 12.0  # longer than any answer that the node may take
TRANSIENT = 0xA700


class Modality:
    """Sends over ``port``; the ledger gets a row for each answer, and for each that is missing."""

    def __init__(self, port: int, ledger: PeerLedger, ae_title: str = "MODALITY") -> None:
        self._port = port
        self.ledger = ledger
        self._ae_title = ae_title
        self.gave_up = False
        # Files travel as they are: their bytes are what the auditor looks for.
        _config.STORE_SEND_CHUNKED_DATASET = True

    def send(self, images: Sequence[Image], stop: threading.Event) -> None:
        """Send each image until it is answered for good, over as many associations as it takes."""
        left = list(images)
        while left and not stop.is_set():
            left = list(self._send_once(left))
            if left:
                stop.wait(PAUSE_S)
        self.gave_up = bool(left)

    def _send_once(self, images: Sequence[Image]) -> Iterator[Image]:
        """One association; those images that must be sent again."""
        ae = AE(ae_title=self._ae_title)
        ae.add_requested_context(
            DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian
        )
        ae.connection_timeout = ae.acse_timeout = 5
        ae.dimse_timeout = ae.network_timeout = ANSWER_S
        assoc = ae.associate("127.0.0.1", self._port, ae_title="FAPS")
        for image in images:
            if self._send_one(assoc, image) in {None, TRANSIENT}:
                yield image
        if assoc.is_established:
            assoc.release()

    def _send_one(self, assoc: Association, image: Image) -> int | None:
        if not assoc.is_established:
            return None
        try:
            answer = assoc.send_c_store(image.path)
        except (RuntimeError, ValueError, OSError):
            answer = {}
        status = int(answer.Status) if "Status" in answer else None
        # PS3.4 B.2.3: A7xx is out of resources, the only refusal that is worth another try.
        if status is not None and status >> 8 == 0xA7:
            status = TRANSIENT
        self.ledger.write(uid=image.uid, study=image.study, sha256=image.sha256, status=status)
        return status
