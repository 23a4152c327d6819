"""A modality at work, as it says itself: Modality Performed Procedure Step as SCP (PS3.4 F)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from pydicom.dataset import Dataset
from pynetdicom import evt

from dicom_node.domain.identifiers import is_uid
from dicom_node.domain.procedure import (
    IllegalProcedureEventError,
    ProcedureEvent,
    event_of,
    images_of,
    study_of,
)
from dicom_node.errors import LedgerError
from dicom_node.logs import logger
from dicom_node.store.ledger import Ledger
from dicom_node.visits import plain

# PS3.7 C.5, PS3.4 F.7.2.
SUCCESS, PROCESSING_FAILURE, NO_SUCH_INSTANCE = 0x0000, 0x0110, 0x0112
INVALID_VALUE, DUPLICATE, INVALID_INSTANCE, MISSING = 0x0106, 0x0111, 0x0117, 0x0120
NO_LONGER = 0xA710  # PS3.4 Table F.7.2-2: Error ID of a step that has ended
Answer = tuple[int | Dataset, Dataset | None]


class Follower:
    """Writes down what a modality makes; ``changed`` is called with each change."""

    def __init__(self, ledger: Ledger, changed: Callable[[], None]) -> None:
        self._ledger = ledger
        self._changed = changed
        self._log = logger("follow")

    def handlers(self) -> list[tuple[object, Callable[..., object]]]:
        """What the port shall call."""
        return [(evt.EVT_N_CREATE, self.begun), (evt.EVT_N_SET, self.went_on)]

    def begun(self, event: evt.Event) -> Answer:
        """Take an N-CREATE (PS3.4 F.7.2.1)."""
        return self._answer(lambda: self._begin(event))

    def went_on(self, event: evt.Event) -> Answer:
        """Take an N-SET (PS3.4 F.7.2.2)."""
        return self._answer(lambda: self._change(event))

    def _answer(self, take: Callable[[], Answer]) -> Answer:
        try:
            answer = take()
        except LedgerError as error:
            self._log.error("step not recorded", reason=str(error))
            return PROCESSING_FAILURE, None
        except Exception as error:  # noqa: BLE001 - the edge of the wire: answer, do not hang
            self._log.error("step not understood", error=error)
            return PROCESSING_FAILURE, None
        self._changed()
        return answer

    def _begin(self, event: evt.Event) -> Answer:
        ds, request = event.attribute_list, cast("Any", event.request)
        uid, study = str(request.AffectedSOPInstanceUID or ""), study_of(ds)
        if not is_uid(uid):
            return INVALID_INSTANCE, None
        if not is_uid(study):
            return MISSING, None
        if str(ds.get("PerformedProcedureStepStatus", "")) != "IN PROGRESS":
            return INVALID_VALUE, None
        calling_ae = plain(event.assoc.requestor.ae_title)
        if not self._ledger.procedures.begin(uid, study, calling_ae, images_of(ds) or []):
            return DUPLICATE, None
        self._log.info("step begun", ae=calling_ae, study=study)
        return SUCCESS, ds

    def _change(self, event: evt.Event) -> Answer:
        ds = event.modification_list
        uid = str(cast("Any", event.request).RequestedSOPInstanceUID or "")
        try:
            what = event_of(ds)
        except ValueError:
            return INVALID_VALUE, None
        try:
            known = self._ledger.procedures.change(uid, what, images_of(ds))
        except IllegalProcedureEventError as error:
            return _refusal(str(error)), None
        if not known:
            return NO_SUCH_INSTANCE, None
        if what is not ProcedureEvent.CONTINUED:
            self._log.info(f"step {what.value}", ae=plain(event.assoc.requestor.ae_title))
        return SUCCESS, ds


def _refusal(why: str) -> Dataset:
    status = Dataset()
    status.Status, status.ErrorID, status.ErrorComment = PROCESSING_FAILURE, NO_LONGER, why[:64]
    return status
