"""From the modality's C-STORE to SEG and SR in the PACS."""

from __future__ import annotations

import json
from pathlib import Path

import highdicom as hd
import httpx
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from dicom_node.domain.instance import OWN_RESULT
from tests.e2e.conftest import Hospital, MakeExam, study_of
from tests.peers import dcmsend, dicom_node, storescu, wait_until

pytestmark = [pytest.mark.orthanc, pytest.mark.dcmtk]
DONE = ("confirmed", "failed", "unsuitable", "held")


@pytest.mark.parametrize("dialect", ["standard", "ge"])
def test_an_exam_comes_back_as_seg_and_sr_on_the_right_pixels(
    hospital: Hospital, make_exam: MakeExam, dialect: str, tmp_path: Path
) -> None:
    exam = make_exam(seed=5, dialect=dialect)
    study = study_of(exam)
    dcmsend(hospital.node.port, exam)
    sheet = hospital.node.wait_for_state(study, *DONE)
    assert sheet.line.state == "confirmed", sheet.line.reason
    objects = hospital.pacs.objects(study, tmp_path)
    reports = [ds for ds in objects if ds.SOPClassUID == Comprehensive3DSRStorage]
    masks = {
        str(
            ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID
        ): ds
        for ds in objects
        if ds.SOPClassUID == SegmentationStorage
    }
    assert len(reports) == 1
    truth = {
        (view["laterality"], view["view"]): view
        for view in json.loads((exam / "truth.json").read_text())["views"]
    }
    positive = {key for key, view in truth.items() if view["lesions"]}
    found = set()
    for instance in sheet.instances:
        header = instance["header"]
        ds = masks.get(header.sop_instance_uid)
        if ds is None:
            continue
        key = (header.laterality, header.view)
        found.add(key)
        mask = hd.seg.Segmentation.from_dataset(ds).pixel_array.reshape(-1, ds.Rows, ds.Columns)
        rows, columns = np.nonzero(mask.any(axis=0))
        left, top, right, bottom = truth[key]["lesions"][0]["box"]
        # The mask's centre lies in the true lesion's box: same side, same view, same place.
        assert left <= columns.mean() <= right, (key, truth[key], columns.mean())
        assert top <= rows.mean() <= bottom, (key, truth[key], rows.mean())
    # A network may miss a view of a subtle lesion, but never puts one into a healthy breast here.
    assert found
    assert found <= positive


def segmented_image(ds: Dataset) -> str:
    """UID of the one image that a Segmentation is of."""
    (series,) = ds.ReferencedSeriesSequence
    (image,) = series.ReferencedInstanceSequence
    return str(image.ReferencedSOPInstanceUID)


def test_orthanc_as_modality_sends_and_gets_the_results_back_once(
    hospital: Hospital, exam: Path
) -> None:
    study = study_of(exam)
    for path in sorted(exam.glob("*.dcm")):
        hospital.pacs.post("/instances", path.read_bytes())
    uids = hospital.pacs.instances(study)
    job = hospital.pacs.post("/modalities/faps/store", json.dumps(uids))
    assert job["FailedInstancesCount"] == 0
    hospital.node.wait_for_state(study, "confirmed")
    assert len(hospital.pacs.instances(study)) > len(uids)
    # The PACS forwards everything, our own results too: they are recognised and start nothing.
    hospital.pacs.post("/modalities/faps/store", json.dumps(hospital.pacs.instances(study)))
    sheet = hospital.node.wait_for_state(study, "confirmed")
    assert len(sheet.jobs) == 1
    ignored = [row for row in sheet.instances if row["state"] == "ignored"]
    assert {row["reason"] for row in ignored} == {OWN_RESULT}


def test_the_same_exam_twice_gives_one_result_set(hospital: Hospital, exam: Path) -> None:
    study = study_of(exam)
    files = sorted(exam.glob("*.dcm"))
    storescu(hospital.node.port, files)
    before = hospital.node.wait_for_state(study, "confirmed")
    storescu(hospital.node.port, files)
    after = hospital.node.wait_for_state(study, "confirmed")
    assert len(after.jobs) == len(before.jobs) == 1
    assert [a["sop_instance_uid"] for a in after.artefacts] == [
        a["sop_instance_uid"] for a in before.artefacts
    ]
    assert len(after.instances) == len(files)


def test_a_late_image_makes_the_next_revision(hospital: Hospital, make_exam: MakeExam) -> None:
    exam = make_exam(seed=5)
    study = study_of(exam)
    files = sorted(exam.glob("*.dcm"))
    late = [path for path in files if path.name.startswith("R_MLO")]
    storescu(hospital.node.port, [path for path in files if path not in late])
    first = hospital.node.wait_for_state(study, "confirmed")
    assert "R MLO" in first.line.reason
    storescu(hospital.node.port, late)
    wait_until(
        lambda: len(getattr(hospital.node.sheet(study), "jobs", ())) == 2, "the second revision"
    )
    second = hospital.node.wait_for_state(study, "confirmed")
    assert [job["revision"] for job in second.jobs] == [1, 2]
    reports = [a for a in second.artefacts if a["role"] == "sr"]
    assert len({a["sop_instance_uid"] for a in reports}) == 2


def test_rerun_and_resend_do_what_an_administrator_expects(hospital: Hospital, exam: Path) -> None:
    study = study_of(exam)
    storescu(hospital.node.port, sorted(exam.glob("*.dcm")))
    first = hospital.node.wait_for_state(study, "confirmed")
    stored = {row["sop_instance_uid"]: row["sha256"] for row in first.artefacts}
    assert "objects are due again" in hospital.node.cli("resend", study)
    sheet = hospital.node.wait_for_state(study, "confirmed")
    assert {row["sop_instance_uid"]: row["sha256"] for row in sheet.artefacts} == stored
    assert "queued as job" in hospital.node.cli("rerun", study)
    wait_until(lambda: len(getattr(hospital.node.sheet(study), "jobs", ())) == 2, "the rerun")
    hospital.node.wait_for_state(study, "confirmed")
    text = hospital.node.cli("status", study)
    assert "R CC" in text
    assert "all_confirmed" in text
    assert "answers" in hospital.node.cli("echo", "pacs")


def test_the_page_shows_the_exam_and_its_pictures(hospital: Hospital, exam: Path) -> None:
    study = study_of(exam)
    storescu(hospital.node.port, sorted(exam.glob("*.dcm")))
    sheet = hospital.node.wait_for_state(study, "confirmed")
    page = httpx.get(f"{hospital.node.url}/study/{study}")
    assert page.status_code == 200
    assert "not for diagnosis" in page.text
    job = sheet.jobs[0]["id"]
    for role in ("preview", "heat_map"):
        picture = httpx.get(f"{hospital.node.url}/study/{study}/{job}/{role}/R-CC.png")
        assert picture.headers["content-type"] == "image/png"
        assert picture.content.startswith(b"\x89PNG")


def test_status_of_an_unknown_exam_says_so(hospital: Hospital) -> None:
    assert "no exam with this" in hospital.node.cli("status", "1.2.3.4", status=1)


def test_send_says_what_was_not_stored(hospital: Hospital, tmp_path: Path) -> None:
    (tmp_path / "not_dicom.txt").write_text("hello")
    result = dicom_node("send", str(tmp_path), "--to", f"FAPS@127.0.0.1:{hospital.node.port}")
    assert result.returncode == 1
    assert "no DICOM file there" in result.stderr
