"""A PACS that answers as a test tells it to."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context, build_role
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)
from pynetdicom.transport import ThreadedAssociationServer

from dicom_node.domain.dimse import PUSH_MODEL_INSTANCE
from tests.peers import free_port

Answer = Callable[[evt.Event], int]


@dataclass
class ScriptedPacs:
    """``answers`` are used one after another, the last for ever; it notes what it got."""

    port: int
    answers: list[Answer]
    got: list[tuple[str, str]] = field(default_factory=list)  # (SOP Instance UID, SHA-256)
    patients: list[str] = field(default_factory=list)  # Patient ID and accession of each
    asked: list[Dataset] = field(default_factory=list)
    studies: list[Dataset] = field(default_factory=list)  # what it answers to C-FIND
    ae_title: str = "PACS"
    associations: int = 0
    echoes: int = 0
    reports_at_once: bool = False  # on commitments, over the association that asks

    ae: AE = field(default_factory=AE)

    def limit(self, pdu_bytes: int) -> None:
        """Offer to receive PDUs of this size from now on; 0 is any."""
        self.ae.maximum_pdu_size = pdu_bytes

    def open_associations(self) -> int:
        return len(self.ae.active_associations)

    def hang_up(self) -> None:
        """Abort whatever is open."""
        for assoc in self.ae.active_associations:
            assoc.abort()

    def count(self, _event: evt.Event) -> None:
        self.associations += 1

    def echo(self, _event: evt.Event) -> int:
        self.echoes += 1
        return 0x0000

    def find(self, _event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        for study in self.studies:
            yield 0xFF00, study

    def store(self, event: evt.Event) -> int:
        content = event.request.DataSet.getvalue()
        uid = str(event.request.AffectedSOPInstanceUID)
        self.got.append((uid, hashlib.sha256(content).hexdigest()))
        ds = event.dataset
        self.patients.append(f"{ds.get('PatientID', '')} {ds.get('AccessionNumber', '')}")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(event)

    def action(self, event: evt.Event) -> tuple[int, None]:
        self.asked.append(event.action_information)
        if self.reports_at_once:
            arguments = (event.assoc, event.action_information)
            threading.Thread(target=self._report, args=arguments, daemon=True).start()
        return 0x0000, None

    def report(self, port: int, request: Dataset, failed: Sequence[str] = ()) -> int:
        """Call the node back with an N-EVENT-REPORT, as a PACS does; the node's status."""
        ae = AE(ae_title=self.ae_title)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        context = build_context(StorageCommitmentPushModel)
        assoc = ae.associate("127.0.0.1", port, contexts=[context], ae_title="FAPS", ext_neg=[role])
        assert assoc.is_established
        status = self._report(assoc, request, failed)
        assoc.release()
        return status

    @staticmethod
    def _report(assoc: Association, request: Dataset, failed: Sequence[str] = ()) -> int:
        report = Dataset()
        report.TransactionUID = request.TransactionUID
        good, bad = [], []
        for item in request.ReferencedSOPSequence:
            if item.ReferencedSOPInstanceUID in failed:
                item.FailureReason = 0x0112
                bad.append(item)
            else:
                good.append(item)
        report.ReferencedSOPSequence = good
        if bad:
            report.FailedSOPSequence = bad
        kind = 2 if bad else 1
        status, _ = assoc.send_n_event_report(
            report, kind, StorageCommitmentPushModel, PUSH_MODEL_INSTANCE
        )
        return int(status.get("Status", -1))  # none where the node has hung up meanwhile


def status(code: int) -> Answer:
    return lambda _event: code


def abort(event: evt.Event) -> int:
    """Store it, then hang up without an answer."""
    event.assoc.abort()
    return 0x0000


def end(server: ThreadedAssociationServer) -> None:
    """Shut down; without its socket the server would see that up to half a second later."""
    assert server.socket is not None
    server.socket.shutdown(socket.SHUT_RDWR)
    server.shutdown()


@contextmanager
def scripted_pacs(
    *answers: Answer,
    classes: Sequence[str],
    implicit_only: bool = False,
    services: bool = True,
    port: int = 0,
    ae_title: str = "PACS",
) -> Iterator[ScriptedPacs]:
    """A PACS that takes ``classes``; with its services: C-ECHO, Storage Commitment, C-FIND."""
    pacs = ScriptedPacs(port or free_port(), list(answers) or [status(0x0000)], ae_title=ae_title)
    pacs.ae = ae = AE(ae_title=pacs.ae_title)
    ae.require_called_aet = True
    syntaxes = [ImplicitVRLittleEndian]
    if not implicit_only:
        syntaxes.insert(0, ExplicitVRLittleEndian)
    for sop_class in classes:
        ae.add_supported_context(sop_class, syntaxes)
    if services:
        ae.add_supported_context(Verification)
        ae.add_supported_context(StorageCommitmentPushModel)
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    handlers = [
        (evt.EVT_C_STORE, pacs.store), (evt.EVT_N_ACTION, pacs.action),
        (evt.EVT_C_FIND, pacs.find), (evt.EVT_C_ECHO, pacs.echo),
        (evt.EVT_ACCEPTED, pacs.count),
    ]  # fmt: skip
    server = ae.start_server(("127.0.0.1", pacs.port), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield pacs
    finally:
        end(server)
        for thread in threading.enumerate():
            if thread.name.startswith("AssocRequestor"):
                thread.join(5)
