"""A PACS that has what is missing, and that asks whether it is kept: Orthanc, both ways."""

from __future__ import annotations

import json

import pytest
from pydicom import dcmread

from tests.e2e.conftest import Hospital, MakeExam, study_of
from tests.peers import wait_until

pytestmark = pytest.mark.orthanc


def test_an_exam_is_pulled_confirmed_and_vouched_for(
    hospital: Hospital, make_exam: MakeExam
) -> None:
    exam = make_exam(views=("R_CC",))
    images = [dcmread(path) for path in sorted(exam.glob("*.dcm"))]
    for path in exam.glob("*.dcm"):
        hospital.pacs.post("/instances", path.read_bytes())
    study = study_of(exam)
    told = hospital.node.cli("pull", "--study", study, "--from", "pacs")
    assert "2 images there, 2 pulled" in told
    # As SCU: the PACS confirms our results by calling us back.
    sheet = hospital.node.wait_for_state(study, "confirmed", "failed", "unsuitable")
    assert sheet.line.state == "confirmed", sheet.line.reason
    assert [row["event"] for row in sheet.events if row["subject"] == "pull"] == ["all_here"]
    # As SCP: the PACS asks whether we keep the images, and is called back.
    references = [[str(ds.SOPClassUID), str(ds.SOPInstanceUID)] for ds in images]
    asked = hospital.pacs.post(
        "/modalities/faps/storage-commitment", json.dumps({"DicomInstances": references})
    )
    report = wait_until(
        lambda: (
            found
            if (found := hospital.pacs.get(f"/storage-commitment/{asked['ID']}"))["Status"]
            != "Pending"
            else None
        ),
        "Orthanc to have the report",
    )
    assert report["Status"] == "Success", report
    assert {one["SOPInstanceUID"] for one in report["Success"]} == {uid for _, uid in references}
    promises = hospital.node.ledger.promises
    # The PACS has the report a moment before our row says so.
    wait_until(lambda: promises.newest()[0]["state"] == "reported", "the row of the report")
    assert promises.newest()[0]["calling_ae"] == "ORTHANC"
