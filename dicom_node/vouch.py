"""Answers to those who ask whether their objects are kept: Storage Commitment as SCP (PS3.4 J)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import build_context, build_role
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made dynamically
    StorageCommitmentPushModel,
)

from dicom_node.associate import association
from dicom_node.domain.dimse import PUSH_MODEL_INSTANCE, REQUEST_COMMITMENT, UNCOMPRESSED
from dicom_node.domain.promise import NotUnderstoodError, Verdict, question_from, report, verdict
from dicom_node.errors import LedgerError, PeerError
from dicom_node.guest_list import GuestList
from dicom_node.logs import in_words, logger
from dicom_node.store.archive import Archive
from dicom_node.store.files import sha256_of
from dicom_node.store.ledger import Ledger
from dicom_node.store.promises import Kept, Promise
from dicom_node.visits import plain

LOOK_S = 1.0
# Whoever wants the report elsewhere hangs up at once; whoever still waits then wants it here.
WAITS_AFTER_S = 1.0
OURS_FOR_S = 30.0  # the report on the asker's own association comes first
# PS3.7 C.5 and 10.1.4.1.10.
SUCCESS, PROCESSING_FAILURE, NO_SUCH_INSTANCE = 0x0000, 0x0110, 0x0112
INVALID_ARGUMENT, NO_SUCH_ACTION = 0x0115, 0x0123


class Voucher:
    """Writes every transaction down, judges it, and reports until the asker has taken it."""

    def __init__(self, archive: Archive, ledger: Ledger, guests: GuestList) -> None:
        self._archive = archive
        self._ledger = ledger
        self._guests = guests
        self._log = logger("vouch")

    def handlers(self) -> list[tuple[object, Callable[..., object]]]:
        """What the port shall call."""
        return [(evt.EVT_N_ACTION, self.asked)]

    def asked(self, event: evt.Event) -> tuple[int, None]:
        """Take an N-ACTION (PS3.4 J.3.2): it is answered once the transaction is durable."""
        assoc = event.assoc
        if event.request.RequestedSOPInstanceUID != PUSH_MODEL_INSTANCE:  # type: ignore[union-attr]  # of an N-ACTION
            return NO_SUCH_INSTANCE, None
        if event.action_type != REQUEST_COMMITMENT:
            return NO_SUCH_ACTION, None
        try:
            promise = self._ledger.promises.ask(
                question_from(event.action_information),
                plain(assoc.requestor.ae_title),
                plain(assoc.acceptor.ae_title),
                str(assoc.requestor.address),
                pause_s=OURS_FOR_S,
            )
        except NotUnderstoodError as error:
            self._log.warning("commitment request not understood", reason=str(error))
            return INVALID_ARGUMENT, None
        except LedgerError as error:
            self._log.error("commitment request not recorded", reason=str(error))
            return PROCESSING_FAILURE, None
        except Exception as error:  # noqa: BLE001 - the edge of the wire: answer, do not hang
            self._log.error("commitment request not understood", error=error)
            return PROCESSING_FAILURE, None
        # Not here: the answer to the request has to go out first.
        threading.Thread(
            target=self._report_here, args=(assoc, promise), name="vouch here", daemon=True
        ).start()
        return SUCCESS, None

    def _report_here(self, assoc: Association, promise: Promise) -> None:
        """Report on the asker's own association if that is still there, else leave it to a tick."""
        try:
            end = time.monotonic() + WAITS_AFTER_S
            while assoc.is_established and time.monotonic() < end:
                time.sleep(0.05)
            if assoc.is_established:
                told = self.judged(promise)
                self._send(assoc, promise, told)
                self._taken(promise, told)
                return
            why = ""
        except Exception as error:  # noqa: BLE001 - the edge of this thread; a tick tries again
            why = in_words(error)
        try:
            self._ledger.promises.release(promise)
        except LedgerError as error:
            why = str(error)
        if why:
            self._log.warning("not reported on its association", ae=promise.calling_ae, reason=why)

    def tick(self) -> float:
        """Send every report that is due; seconds until the next look."""
        for promise in self._ledger.promises.due():
            try:
                self._call_back(promise)
            except (PeerError, RuntimeError, ValueError) as error:
                # ValueError: the peer accepted the association but not the context.
                self._log.warning("not reported", ae=promise.calling_ae, reason=str(error))
                self._ledger.promises.not_reported(promise, str(error))
        return LOOK_S

    def _call_back(self, promise: Promise) -> None:
        peer = self._guests.to_call_back(promise.calling_ae, promise.address)
        if peer is None:
            raise PeerError(
                f"it hung up, and no port is known to call {promise.calling_ae} back at; give the "
                "peer a port (node.toml, `dicom-node peers add --port`)"
            )
        told = self.judged(promise)
        contexts = [build_context(StorageCommitmentPushModel, list(UNCOMPRESSED))]
        roles: list[SCP_SCU_RoleSelectionNegotiation] = [
            build_role(StorageCommitmentPushModel, scp_role=True)
        ]
        with association(peer, promise.called_ae, contexts, roles=roles) as assoc:
            self._send(assoc, promise, told)
        self._taken(promise, told)

    @staticmethod
    def _send(assoc: Association, promise: Promise, told: Verdict) -> None:
        """N-EVENT-REPORT (PS3.4 J.3.3); a ``PeerError`` unless it is taken."""
        event_type, ds = report(promise.transaction_uid, told)
        answer, _ = assoc.send_n_event_report(
            ds, event_type, StorageCommitmentPushModel, PUSH_MODEL_INSTANCE
        )
        if "Status" not in answer or answer.Status != SUCCESS:
            text = f"0x{answer.Status:04X}" if "Status" in answer else "no answer"
            raise PeerError(f"{promise.calling_ae}: the report ended with {text}")

    def _taken(self, promise: Promise, told: Verdict) -> None:
        self._ledger.promises.reported(promise, told)
        self._log.info(
            "reported",
            ae=promise.calling_ae,
            objects=len(told.committed),
            count=len(promise.references),
        )

    def judged(self, promise: Promise) -> Verdict:
        """What can be promised at this moment: rows are looked up, files are hashed."""
        kept: dict[str, tuple[str, bool]] = {}
        for one in self._ledger.promises.kept([uid for _, uid in promise.references]):
            _, others = kept.get(one.sop_instance_uid, ("", True))
            kept[one.sop_instance_uid] = (one.sop_class_uid, others and self._whole(one))
        return verdict(promise.references, kept, duplicate=promise.duplicate)

    def _whole(self, one: Kept) -> bool:
        try:
            return not one.removed and sha256_of(self._archive.path(one.sha256)) == one.sha256
        except OSError:
            return False
