"""A node whose PACS does not take Segmentations and has corrected the patient in the meantime."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from tests.e2e.conftest import TOML, MakeExam, study_of
from tests.peers import dcmsend, free_port, need, running_node
from tests.scripted_pacs import scripted_pacs

pytestmark = pytest.mark.dcmtk


def corrected(study: str) -> Dataset:
    """What the PACS says of the study."""
    ds = Dataset()
    ds.QueryRetrieveLevel, ds.StudyInstanceUID = "STUDY", study
    ds.PatientID, ds.AccessionNumber = "CORRECTED", "ACC-NEW"
    return ds


def test_the_exam_reaches_the_reader_by_another_object_under_the_right_patient(
    tmp_path: Path, make_exam: MakeExam
) -> None:
    need("dcmsend", "dcmtk")
    exam = make_exam(views=("R_CC",))
    study = study_of(exam)
    port, http_port = free_port(), free_port()
    with scripted_pacs(classes=[str(Comprehensive3DSRStorage)]) as pacs:
        pacs.studies = [corrected(study)]
        toml = TOML.format(
            port=port, http_port=http_port, data=tmp_path / "data", pacs_port=pacs.port
        )
        toml = toml.replace("ORTHANC", pacs.ae_title).replace("commitment", "none")
        # Three tries of each class until another object goes in its place: with short pauses.
        toml += 'outputs = ["seg"]\nrecheck = "restamp"\nretry_s = 0.1\n'
        with running_node(tmp_path, toml, port, http_port) as node:
            asked = json.loads(node.cli("probe", "pacs", "--json", status=1))
            assert asked["not_taken"] == ["Segmentation"]
            dcmsend(port, exam)
            sheet = node.wait_for_state(study, "delivered")
            states = {row["role"]: row["state"] for row in sheet.deliveries}
            assert states == {"seg": "replaced", "sc": "replaced", "sr": "accepted"}
            assert "SR sent in its place" in sheet.line.reason
            assert set(pacs.patients) == {"CORRECTED ACC-NEW"}
            assert "replaced" in node.cli("status", study)
        log = (tmp_path / "node.log").read_text()
        assert '"event": "replaced"' in log
        assert '"event": "restamped"' in log
        assert "CORRECTED" not in log
