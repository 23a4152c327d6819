"""A PACS that keeps a ledger of its own and misbehaves for a time."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from tests.faults.ledgers import PeerLedger
from tests.peers import free_port
from tests.scripted_pacs import ScriptedPacs

CLASSES = (
    SegmentationStorage, Comprehensive3DSRStorage, ComprehensiveSRStorage, BasicTextSRStorage,
    SecondaryCaptureImageStorage, GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
)  # fmt: skip
BUSY, WARNING, WRONG_CLASS = 0xA700, 0xB000, 0xA900


@dataclass
class Mood:
    """How it misbehaves; ``left`` counts down the objects or reports that it still concerns."""

    status: int | None = None  # answered instead of success
    abort_before: bool = False  # hangs up, nothing stored
    abort_after: bool = False  # stores, then hangs up
    mute: bool = False  # stores and never answers, until the mood is over
    pause_s: float = 0.0
    lose_reports: bool = False
    fail_reports: bool = False  # one object is said to be missing, and is
    report_after_s: float = 0.05
    left: int = 1_000_000
    over: threading.Event = field(default_factory=threading.Event)


class FaultyPacs:
    """Stores what it gets; ``ledger`` has a row for each object and what was done with it."""

    def __init__(
        self, name: str, ledger: PeerLedger, rng: Random, node_port: int, *, commits: bool
    ) -> None:
        self.name = name
        self.ledger = ledger
        self.kept: dict[str, str] = {}  # SOP Instance UID to content hash
        self._rng = rng
        self._node_port = node_port
        self._mood = Mood()
        self._peer = ScriptedPacs(free_port(), [], ae_title=name.upper())
        self._ae = AE(ae_title=name.upper())
        self._ae.require_called_aet = True
        self._ae.add_supported_context(Verification)
        for sop_class in CLASSES:
            syntaxes = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
            self._ae.add_supported_context(sop_class, syntaxes)
        if commits:
            self._ae.add_supported_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._action)]
        self._server = self._ae.start_server(
            ("127.0.0.1", self._peer.port), block=False, evt_handlers=handlers
        )

    @property
    def port(self) -> int:
        return self._peer.port

    def feel(self, mood: Mood) -> None:
        """Begin to behave so; what the old mood held back goes on."""
        old, self._mood = self._mood, mood
        old.over.set()

    def close(self) -> None:
        self.feel(Mood())
        assert self._server is not None
        self._server.shutdown()

    def _store(self, event: evt.Event) -> int:
        mood = self._mood
        struck = mood.left > 0
        mood.left -= 1
        uid = str(event.request.AffectedSOPInstanceUID)
        sha256 = hashlib.sha256(event.request.DataSet.getvalue()).hexdigest()
        mood.over.wait(mood.pause_s if struck else 0)
        status = mood.status if struck and mood.status is not None else 0x0000
        refused = status not in {0x0000, WARNING}
        silent = struck and (mood.abort_before or mood.abort_after or mood.mute)
        keeps = not refused and not (struck and mood.abort_before)
        if keeps:
            self.kept[uid] = sha256
        self.ledger.write(
            pacs=self.name, uid=uid, sha256=sha256, kept=keeps, status=None if silent else status
        )
        if struck and mood.mute:
            mood.over.wait(30)
        if silent:
            event.assoc.abort()
        return status

    def _action(self, event: evt.Event) -> tuple[int, None]:
        mood = self._mood
        request = event.action_information
        struck = mood.left > 0 and (mood.lose_reports or mood.fail_reports)
        mood.left -= struck
        if struck and mood.lose_reports:
            self.ledger.write(pacs=self.name, report="lost")
            return 0x0000, None
        uids = [str(item.ReferencedSOPInstanceUID) for item in request.ReferencedSOPSequence]
        if struck:
            self.kept.pop(self._rng.choice(uids), None)
        failed = [uid for uid in uids if uid not in self.kept]
        self.ledger.write(pacs=self.name, report="sent", committed=len(uids), failed=failed)
        arguments = (mood.report_after_s, request, failed)
        threading.Thread(target=self._report, args=arguments, daemon=True).start()
        return 0x0000, None

    def _report(self, after_s: float, request: Dataset, failed: Sequence[str]) -> None:
        self._mood.over.wait(after_s)
        try:
            self._peer.report(self._node_port, request, failed)
        except (AssertionError, AttributeError, RuntimeError, ValueError) as error:
            # The node is down: the report is lost, and the node asks again.
            self.ledger.write(pacs=self.name, report="not taken", why=type(error).__name__)
