"""A C-STORE request turned into a durable file with its row, then into a status."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from pydicom import config as pydicom_config
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.dimse_primitives import C_STORE

from dicom_node.callers import Callers
from dicom_node.domain.header import InputRule
from dicom_node.errors import (
    ArchiveError,
    IdentityMismatch,
    IngestError,
    LedgerError,
    OutOfResources,
)
from dicom_node.logs import logger
from dicom_node.scan import scan
from dicom_node.store.archive import sha256_of
from dicom_node.store.intake import Intake, Received
from dicom_node.store.keeping import Keeper

SUCCESS = 0x0000
PROCESSING_FAILURE = 0xC001  # our own code in the C000 range: a fault of ours, see the log


class Receiver:
    """Answers C-STORE: 0x0000 only after the file and its row are on disk."""

    def __init__(
        self,
        keeper: Keeper,
        rule: InputRule,
        callers: Callers,
        arrived: Callable[[], None],
        shortage: Callable[[], str] = lambda: "",
    ) -> None:
        self._shortage = shortage
        self._rule = rule
        self._keeper = keeper
        self._callers = callers
        self._arrived = arrived
        self._log = logger("receive")
        # Values outside the standard are the sender's affair: read them, keep the bytes.
        pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE

    def handlers(self) -> list[tuple[object, Callable[..., object]]]:
        """What the port shall call."""
        return [(evt.EVT_C_STORE, self.store)]

    def store(self, event: evt.Event) -> Dataset | int:
        """Keep one object, count it and answer for it."""
        answer = self._store(event)
        if isinstance(answer, Dataset):
            self._callers.tally(event.assoc).refuse(answer.Status, answer.ErrorComment)
        return answer

    def _store(self, event: evt.Event) -> Dataset | int:
        try:
            intake = self._keep(event)
        except OSError as error:
            # The spool cannot be read back: the disk's fault, and the sender may try again.
            self._log.error("spool cannot be read", error=error)
            return _status(OutOfResources.dimse_status, "disk error, try again later")
        except IngestError as error:
            self._log.warning(
                "object refused",
                ae=str(event.assoc.requestor.ae_title),
                sop_instance=str(_request(event).AffectedSOPInstanceUID),
                status=f"0x{error.dimse_status:04X}",
                reason=str(error),
            )
            return _status(error.dimse_status, str(error))
        except Exception as error:  # noqa: BLE001 - the edge of the wire: answer, do not hang
            self._log.error("object not kept", error=error, reason=str(error))
            return _status(PROCESSING_FAILURE, "internal fault, see the node's log")
        if intake in {Intake.NEW, Intake.CONFLICT, Intake.MISMATCH}:
            self._arrived()
        return SUCCESS

    def _keep(self, event: evt.Event) -> Intake:
        if why := self._shortage():
            raise OutOfResources(why)
        request = _request(event)
        path = event.dataset_path
        header = scan(path, str(event.context.transfer_syntax), self._rule)
        if (header.sop_class_uid, header.sop_instance_uid) != (
            request.AffectedSOPClassUID,
            request.AffectedSOPInstanceUID,
        ):
            raise IdentityMismatch("command and data set name different SOP Class or Instance UIDs")
        size = path.stat().st_size
        sha256 = sha256_of(path)
        tally = self._callers.tally(event.assoc)
        received = Received(
            header=header,
            sha256=sha256,
            size=size,
            association_id=tally.association_id,
            calling_ae=str(event.assoc.requestor.ae_title).strip(),
        )
        try:
            intake = self._keeper.keep(path, received)
        except (ArchiveError, LedgerError) as error:
            raise OutOfResources(str(error)) from error
        tally.objects += 1
        tally.bytes += size
        self._log.info(
            "received",
            sop_instance=header.sop_instance_uid,
            state=intake.value,
            bytes=size,
            sha256=sha256[:12],
        )
        return intake


def _request(event: evt.Event) -> C_STORE:
    """The request of a C-STORE event, whose type pynetdicom leaves open."""
    return cast("C_STORE", event.request)


def _status(code: int, comment: str) -> Dataset:
    answer = Dataset()
    answer.Status = code
    # PS3.7 C: LO, at most 64 characters; our messages hold no patient data.
    answer.ErrorComment = comment.encode("ascii", "replace").decode("ascii")[:64]
    return answer
