"""A small PACS for trials: keeps what it gets, answers for it by Storage Commitment."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.presentation import build_context, build_role
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made dynamically
    StorageCommitmentPushModel,
    Verification,
)

from dicom_node.associate import association, send_at_once
from dicom_node.domain.dimse import PUSH_MODEL_INSTANCE
from dicom_node.settings import Destination

NO_SUCH_OBJECT = 0x0112  # PS3.3 C.14.1.1: No such object instance
ALL_COMMITTED, SOME_FAILED = 1, 2  # N-EVENT-REPORT types, PS3.4 J.3.3


class Pacs:
    """Storage and Storage Commitment SCP that writes each object to a folder, as received."""

    def __init__(self, folder: Path, ae_title: str, port: int) -> None:
        self._folder = folder
        self._ae_title = ae_title
        self._port = port
        self._callers: dict[str, Destination] = {}
        self._server: Any = None
        self._lock = threading.Lock()
        self._kept: dict[str, Path] = {}

    def knows(self, caller: Destination) -> None:
        """Tell the PACS where a node can be called back."""
        self._callers[caller.ae_title] = caller

    @property
    def received(self) -> dict[str, Path]:
        """SOP Instance UID to file of everything kept so far."""
        with self._lock:
            return dict(self._kept)

    def start(self) -> None:
        """Listen on loopback."""
        self._folder.mkdir(parents=True, exist_ok=True)
        ae = AE(ae_title=self._ae_title)
        ae.add_supported_context(Verification)
        ae.add_supported_context(StorageCommitmentPushModel)
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(
                str(context.abstract_syntax), [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
            )
        self._server = ae.start_server(
            ("127.0.0.1", self._port),
            block=False,
            evt_handlers=[
                (evt.EVT_CONN_OPEN, send_at_once),
                (evt.EVT_C_ECHO, lambda _event: 0x0000),
                (evt.EVT_C_STORE, self._store),
                (evt.EVT_N_ACTION, self._commit),
            ],
        )

    def stop(self) -> None:
        """Hang up."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def _store(self, event: evt.Event) -> int:
        content = event.encoded_dataset()
        uid = str(event.request.AffectedSOPInstanceUID)  # type: ignore[union-attr]  # a C-STORE has it
        # The name comes from a hash: a UID from the wire is no file name.
        path = self._folder / f"{hashlib.sha256(uid.encode()).hexdigest()[:16]}.dcm"
        path.write_bytes(content)
        with self._lock:
            self._kept[uid] = path
        return 0x0000

    def _commit(self, event: evt.Event) -> tuple[int, None]:
        request = event.action_information
        caller = self._callers.get(str(event.assoc.requestor.ae_title).strip())
        if caller is not None:
            report = self._report(request)
            threading.Thread(target=self._call_back, args=(caller, report), daemon=True).start()
        return 0x0000, None

    def _report(self, request: Dataset) -> Dataset:
        """What is kept and what is not (PS3.3 C.14.1)."""
        report = Dataset()
        report.TransactionUID = request.TransactionUID
        kept = self.received
        report.ReferencedSOPSequence = []
        failed = []
        for item in request.ReferencedSOPSequence:
            answer = Dataset()
            answer.ReferencedSOPClassUID = item.ReferencedSOPClassUID
            answer.ReferencedSOPInstanceUID = item.ReferencedSOPInstanceUID
            if item.ReferencedSOPInstanceUID in kept:
                report.ReferencedSOPSequence.append(answer)
            else:
                answer.FailureReason = NO_SUCH_OBJECT
                failed.append(answer)
        if failed:
            report.FailedSOPSequence = failed
        return report

    def _call_back(self, caller: Destination, report: Dataset) -> None:
        context = build_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        kind = SOME_FAILED if "FailedSOPSequence" in report else ALL_COMMITTED
        with association(caller, self._ae_title, [context], roles=[role]) as assoc:
            assoc.send_n_event_report(report, kind, StorageCommitmentPushModel, PUSH_MODEL_INSTANCE)
