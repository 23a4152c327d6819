"""A radiologist's category comes with a study, and the report answers to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian

from dicom_node.domain.identifiers import derive_uid
from tests.e2e.conftest import Hospital, study_of
from tests.peers import dcmsend, wait_until
from tests.unit.domain.test_assessment import RIGHT, category, side

pytestmark = [pytest.mark.orthanc, pytest.mark.dcmtk]


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
    hospital: Hospital, exam: Path, tmp_path: Path
) -> None:
    node, study = hospital.node, study_of(exam)
    radiologists_report(exam)
    dcmsend(node.port, exam)
    node.wait_for_state(study, "confirmed")
    (words,) = answers(hospital, study, "BI-RADS 4A", tmp_path)
    assert "Right breast: suggestion for the radiologist's BI-RADS 4A: " in words
    assert "The category remains the radiologist's." in words
    assert "Left breast: suggestion" not in words
    assert "R BI-RADS 4C; queued as job" in node.cli("birads", study, "R", "4C")
    wait_until(lambda: len(getattr(node.sheet(study), "jobs", ())) == 2, "the next revision")
    node.wait_for_state(study, "confirmed")
    assert answers(hospital, study, "BI-RADS 4C", tmp_path)


def answers(hospital: Hospital, study: str, words: str, folder: Path) -> list[str]:
    """Reports in the PACS that hold ``words``, as JSON."""
    reports = (ds for ds in hospital.pacs.objects(study, folder) if ds.Modality == "SR")
    return [text for ds in reports if words in (text := ds.to_json())]
