"""A radiologist's category comes with a study, and the report answers to it."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian

from dicom_node.domain.identifiers import derive_uid
from tests.e2e.conftest import TOML, MakeExam, study_of
from tests.peers import (
    Orthanc,
    dcmsend,
    dicom_node,
    free_port,
    need,
    orthanc,
    running_node,
    wait_until,
)
from tests.unit.domain.test_assessment import RIGHT, category, side

pytestmark = [pytest.mark.orthanc, pytest.mark.dcmtk]
ASSISTANCE = "\n[assistance]\nbirads = true\n"


def radiologists_report(exam: Path) -> None:
    """A report with BI-RADS 4A for the right breast, beside the exam's images."""
    image = dcmread(next(exam.glob("*.dcm")), stop_before_pixels=True)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = ComprehensiveSRStorage
    ds.SOPInstanceUID = derive_uid("radiologist", str(image.StudyInstanceUID))
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.SeriesInstanceUID = derive_uid("radiologist's series", str(image.StudyInstanceUID))
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber"):
        setattr(ds, keyword, image.get(keyword, ""))
    ds.Modality, ds.Manufacturer = "SR", "Reporting"
    ds.ContentSequence = Sequence([category(("MA.II.A.5.4A", "BI"), side(RIGHT))])
    ds.save_as(exam / "report.dcm", enforce_file_format=True)


def test_the_report_in_the_pacs_answers_to_the_radiologists_category(
    tmp_path: Path, make_exam: MakeExam
) -> None:
    need("dcmsend", "dcmtk")
    exam = make_exam()
    radiologists_report(exam)
    port, http_port = free_port(), free_port()
    (tmp_path / "pacs").mkdir()
    with orthanc(tmp_path / "pacs", {"faps": ("FAPS", port)}) as pacs:
        toml = TOML.format(
            port=port, http_port=http_port, data=tmp_path / "data", pacs_port=pacs.port
        )
        with running_node(tmp_path, toml + ASSISTANCE, port, http_port):
            dcmsend(port, exam)
            study = study_of(exam)
            words = wait_until(lambda: answer(pacs, study, "BI-RADS 4A"), "the report")
            assert "Right breast: suggestion for the radiologist's BI-RADS 4A: " in words
            assert "The category remains the radiologist's." in words
            assert "Left breast: suggestion" not in words
            config = ["--config", str(tmp_path / "node.toml")]
            wait_until(
                lambda: "confirmed" in dicom_node("status", study, *config).stdout, "the end"
            )
            entered = dicom_node("birads", study, "R", "4C", *config)
            assert entered.returncode == 0, entered.stderr
            assert "R BI-RADS 4C; queued as job" in entered.stdout
            wait_until(lambda: answer(pacs, study, "BI-RADS 4C"), "the next revision")


def answer(pacs: Orthanc, study: str, words: str) -> str:
    """The conclusion of one of our reports that holds ``words``, or nothing."""
    for instance in pacs.instances(study):
        ds = dcmread(BytesIO(pacs.file(instance)))
        if ds.Modality == "SR" and words in (text := ds.to_json()):
            return text
    return ""
