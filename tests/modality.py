"""A modality on loopback: it stores images, and asks what a modality asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import ModalityPerformedProcedureStep, StorageCommitmentPushModel

from dicom_node.domain.dimse import PUSH_MODEL_INSTANCE
from tests.mammogram_headers import header
from tests.peers import free_port, wait_until
from tests.scripted_pacs import end

SHAPE = (512, 512)  # smaller images are not analysed
MG = DigitalMammographyXRayImageStorageForPresentation


def picture(laterality: str = "R", view: str = "CC", **changes: object) -> Dataset:
    """A small image of a view, complete enough to be received."""
    ds = header(laterality, view, shape=SHAPE, **changes)
    ds.Rows, ds.Columns = SHAPE
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = (np.arange(SHAPE[0] * SHAPE[1]) % 4000).astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def question(transaction_uid: str, *references: tuple[str, str]) -> Dataset:
    """Action Information of a commitment request."""
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    ds.ReferencedSOPSequence = []
    for sop_class_uid, sop_instance_uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class_uid
        item.ReferencedSOPInstanceUID = sop_instance_uid
        ds.ReferencedSOPSequence.append(item)
    return ds


@dataclass
class Modality:
    """It calls ``node_port``; reports that come on either way are noted."""

    node_port: int
    ae_title: str = "MODALITY"
    port: int = field(default_factory=free_port)
    reports: list[tuple[int, Dataset, str]] = field(default_factory=list)  # type, what, from whom
    answered: int = 0  # reports of which the answer has gone out
    takes: list[int] = field(default_factory=lambda: [0x0000])  # statuses, the last for ever

    @contextmanager
    def calling(self) -> Iterator[Association]:
        """An association with everything that a modality wants."""
        ae = AE(ae_title=self.ae_title)
        ae.add_requested_context(MG, ExplicitVRLittleEndian)
        ae.add_requested_context(StorageCommitmentPushModel)
        ae.add_requested_context(ModalityPerformedProcedureStep)
        # A release right after the report would overtake its answer, which has a thread of its own.
        handlers = [
            (evt.EVT_N_EVENT_REPORT, self._reported), (evt.EVT_PDU_SENT, self._sent),
        ]  # fmt: skip
        assoc = ae.associate("127.0.0.1", self.node_port, ae_title="FAPS", evt_handlers=handlers)
        assert assoc.is_established
        try:
            yield assoc
        finally:
            if assoc.is_established:
                assoc.release()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """It may be called back at its port."""
        ae = AE(ae_title=self.ae_title)
        ae.require_called_aet = True
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        handlers = [(evt.EVT_N_EVENT_REPORT, self._reported)]
        server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        assert server is not None
        try:
            yield
        finally:
            end(server)

    def store(self, *images: Dataset) -> None:
        """Store images; each must be answered with success."""
        with self.calling() as assoc:
            for image in images:
                assert assoc.send_c_store(image).Status == 0x0000

    def ask(self, request: Dataset, assoc: Association) -> int:
        """Ask for a commitment; the status."""
        status, _ = assoc.send_n_action(request, 1, StorageCommitmentPushModel, PUSH_MODEL_INSTANCE)
        return int(status.Status)

    def ask_and_hang_up(self, request: Dataset) -> None:
        """Ask, and be gone before any report."""
        with self.calling() as assoc:
            assert self.ask(request, assoc) == 0x0000

    def ask_and_wait(self, request: Dataset) -> None:
        """Ask, and stay until the report has come."""
        before = self.answered
        with self.calling() as assoc:
            assert self.ask(request, assoc) == 0x0000
            wait_until(lambda: self.answered > before, "the report on this association", 15)

    def told(self) -> tuple[int, set[str], dict[str, int]]:
        """The last report: event type, what is kept, what is not and why."""
        kind, ds, _ = self.reports[-1]
        kept = {str(i.ReferencedSOPInstanceUID) for i in ds.get("ReferencedSOPSequence") or []}
        failed = {
            str(i.ReferencedSOPInstanceUID): int(i.FailureReason)
            for i in ds.get("FailedSOPSequence") or []
        }
        return kind, kept, failed

    def _sent(self, event: evt.Event) -> None:
        if isinstance(event.pdu, P_DATA_TF):
            self.answered = len(self.reports)

    def _reported(self, event: evt.Event) -> tuple[int, None]:
        status = self.takes.pop(0) if len(self.takes) > 1 else self.takes[0]
        caller = str(event.assoc.requestor.ae_title)
        self.reports.append((event.event_type, event.event_information, caller))
        return status, None


def references(*images: Dataset) -> Sequence[tuple[str, str]]:
    """SOP Class and Instance of each."""
    return [(str(ds.SOPClassUID), str(ds.SOPInstanceUID)) for ds in images]
