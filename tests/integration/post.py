"""One analysed exam with its post: the stages that send and confirm its results."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian, SegmentationStorage
from sqlalchemy import update

from dicom_node.confirm import Confirmer
from dicom_node.deliver import Deliverer
from dicom_node.domain.identifiers import derive_uid
from dicom_node.domain.job import JobEvent
from dicom_node.store import tables as t
from dicom_node.store.jobs import Artefact, Ending
from dicom_node.store.overview import StudySheet
from tests.web_builders import Exam, Hospital

CLASSES = (str(SegmentationStorage), str(Comprehensive3DSRStorage))


def result(sop_class: str, name: str, **values: Any) -> bytes:
    """A small DICOM object of a patient; what else is in it does not matter to the post."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, derive_uid("result", name)
    ds.StudyInstanceUID = derive_uid("study", name)
    ds.SeriesInstanceUID = derive_uid("series", name)
    ds.PatientName, ds.PatientID, ds.AccessionNumber = "Phantom^CEM", "PHANTOM-1", "ACC-1"
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()


class Post:
    """One analysed exam with SEG and SR, and the stages that send and confirm them."""

    def __init__(
        self,
        folder: Path,
        pacs_port: int,
        *,
        extra: dict[str, Any] | None = None,
        called_ae: str = "",
        leases_lost: int = 0,
        **settings: Any,
    ) -> None:
        target = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": pacs_port}
        # A PACS that is stopped waits for associations that are kept.
        target |= {"keep_open_s": 0} | settings
        self.hospital = Hospital(folder, [target], extra or {})
        self.destination = self.hospital.settings.destinations[0]
        ledger, archive = self.hospital.ledger, self.hospital.archive
        self._leases_lost = leases_lost
        self.exam = self._analysed("one", called_ae)
        self.deliverer = Deliverer(self.destination, "FAPS", archive, ledger, lambda: None)
        self.confirmer = Confirmer([self.destination], "FAPS", ledger)

    def _analysed(self, name: str, called_ae: str = "", prefix: str = "") -> Exam:
        """An exam comes in, is analysed and planned."""
        ledger, archive = self.hospital.ledger, self.hospital.archive
        exam = self.hospital.exam(name).receive()
        with ledger.database.write() as connection:
            of_exam = t.studies.c.study_instance_uid == exam.uid
            connection.execute(update(t.studies).where(of_exam).values(called_ae=called_ae))
        exam.close()
        for _ in range(self._leases_lost):
            assert ledger.jobs.claim(exam.job_id(), "a zombie", -1.0) is not None
        self.job = job = exam.claim()
        artefacts = []
        for role, key, sop_class in (("seg", "R-CC", CLASSES[0]), ("sr", "exam", CLASSES[1])):
            content = result(sop_class, prefix + role, StudyInstanceUID=exam.uid)
            artefacts.append(
                Artefact(
                    role=role,
                    key=key,
                    media_type="application/dicom",
                    sop_class_uid=sop_class,
                    sop_instance_uid=derive_uid("result", prefix + role),
                    sha256=archive.put(content),
                    size=len(content),
                )
            )
        ledger.jobs.finish(job, artefacts, Ending(event=JobEvent.RESULTS_STORED))
        ledger.deliveries.plan(self.hospital.plans())
        return exam

    def another(self, name: str) -> tuple[str, str]:
        """A second exam with results; the names of these."""
        self._analysed(name, prefix=f"{name} ")
        return f"{name} seg", f"{name} sr"

    def sheet(self) -> StudySheet:
        sheet = self.hospital.ledger.overview.sheet(self.exam.uid, ())
        assert sheet is not None
        return sheet

    def states(self) -> dict[str, str]:
        return {row["role"]: row["state"] for row in self.sheet().deliveries}

    def due_now(self) -> None:
        """Time passes: whatever waits for its next attempt is due."""
        with self.hospital.ledger.database.write() as connection:
            connection.execute(update(t.deliveries).values(next_at=0.0))
