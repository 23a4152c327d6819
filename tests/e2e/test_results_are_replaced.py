"""A late image, newer results, a note on the older ones; results that come back; a withdrawal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from dicom_node.domain.instance import OWN_RESULT
from tests.e2e.conftest import TOML, Hospital, MakeExam, study_of
from tests.peers import free_port, orthanc, running_node, storescu, wait_until

pytestmark = [pytest.mark.orthanc, pytest.mark.dcmtk]


@pytest.fixture(scope="module")
def iocm_hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """A node whose PACS is told by notes which results count no more."""
    port, http_port = free_port(), free_port()
    folder, pacs_folder = tmp_path_factory.mktemp("node"), tmp_path_factory.mktemp("pacs")
    with orthanc(pacs_folder, {"faps": ("FAPS", port)}) as pacs:
        toml = TOML.format(
            port=port, http_port=http_port, data=folder / "data", pacs_port=pacs.port
        )
        toml += 'withdraw = "rejection_note"\n'
        with running_node(folder, toml, port, http_port) as node:
            yield Hospital(node, pacs)


def notes(objects: list[Dataset]) -> list[Dataset]:
    """Rejection notes of ours, told from key objects by their series."""
    return [
        ds
        for ds in objects
        if ds.SOPClassUID == KeyObjectSelectionDocumentStorage and ds.SeriesNumber == 9004
    ]


def named(sequence: list[Dataset]) -> set[str]:
    """SOP Instance UIDs of a hierarchical reference (PS3.3 table C.17-3)."""
    return {
        str(one.ReferencedSOPInstanceUID)
        for study in sequence
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }


def sent_of(sheet: object, revision: int) -> dict[str, str]:
    """Role by UID of what a revision had delivered, without notes."""
    return {
        row["sop_instance_uid"]: row["role"]
        for row in sheet.deliveries  # type: ignore[attr-defined]
        if row["revision"] == revision and row["role"] != "rejection"
    }


def test_newer_results_name_the_older_ones_and_a_note_takes_those_back(
    iocm_hospital: Hospital, make_exam: MakeExam, tmp_path: Path
) -> None:
    node, pacs = iocm_hospital.node, iocm_hospital.pacs
    exam = make_exam(seed=5)
    study = study_of(exam)
    files = sorted(exam.glob("*.dcm"))
    late = [path for path in files if path.name.startswith("R_MLO")]
    storescu(node.port, [path for path in files if path not in late])
    node.wait_for_state(study, "confirmed")
    storescu(node.port, late)

    def noted() -> bool:
        rows = getattr(node.sheet(study), "deliveries", ())
        return any(row["role"] == "rejection" and row["state"] == "committed" for row in rows)

    wait_until(noted, "the note to be delivered and committed", 120)
    sheet = node.wait_for_state(study, "confirmed")
    assert [(job["revision"], job["state"]) for job in sheet.jobs] == [
        (1, "withdrawn"), (2, "confirmed"),
    ]  # fmt: skip
    first, second = sent_of(sheet, 1), sent_of(sheet, 2)
    objects = pacs.objects(study, tmp_path)
    by_uid = {str(ds.SOPInstanceUID): ds for ds in objects}
    assert set(first) | set(second) <= set(by_uid)
    # Every report of the second revision names its predecessor, and it is in the PACS.
    old = {role: uid for uid, role in first.items()}
    reports = [uid for uid, role in second.items() if role in {"sr", "cad_sr"}]
    assert reports
    for uid in reports:
        assert named(by_uid[uid].PredecessorDocumentsSequence) == {old[second[uid]]}
    # The note names exactly what had been sent of the first revision.
    (note,) = notes(objects)
    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    assert named(note.CurrentRequestedProcedureEvidenceSequence) == set(first)
    listed = [item for item in note.ContentSequence if item.ValueType != "TEXT"]
    assert {str(i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for i in listed} == set(first)
    assert (note.StudyInstanceUID, note.PatientID) == (study, by_uid[reports[0]].PatientID)

    # The PACS sends everything back: nothing changes.
    pacs.post("/modalities/faps/store", json.dumps(pacs.instances(study)))
    after = node.sheet(study)
    assert after is not None
    came_back = [row for row in after.instances if row["reason"] == OWN_RESULT]
    assert len(came_back) == len(first) + len(second) + 1
    assert {row["state"] for row in came_back} == {"ignored"}
    assert after.line == sheet.line
    assert (after.jobs, after.deliveries) == (sheet.jobs, sheet.deliveries)
    assert len(pacs.instances(study)) == len(objects)


def test_a_person_withdraws_an_exam_and_the_pacs_is_told(
    hospital: Hospital, exam: Path, tmp_path: Path
) -> None:
    node, pacs = hospital.node, hospital.pacs
    study = study_of(exam)
    storescu(node.port, sorted(exam.glob("*.dcm")))
    sheet = node.wait_for_state(study, "confirmed")
    words = ("--reason", "safety", "--text", "a clip, no lesion")
    assert "a rejection note goes to pacs" in node.cli("withdraw", study, *words)
    wait_until(lambda: notes(pacs.objects(study, tmp_path)), "the note to arrive")
    (note,) = notes(pacs.objects(study, tmp_path))
    assert note.ConceptNameCodeSequence[0].CodeValue == "113037"
    assert (
        "a clip, no lesion. Research use, not for diagnosis." in note.ContentSequence[0].TextValue
    )
    assert named(note.CurrentRequestedProcedureEvidenceSequence) == set(sent_of(sheet, 1))
    page = httpx.get(f"{node.url}/study/{study}").text
    assert "Withdrawn: for patient safety reasons: a clip, no lesion." in page
    assert "Rejection note" in page
    assert "withdrawn already" in node.cli("withdraw", study, *words, status=1)
    assert "withdrawn" in node.cli("status", study)
    # A new analysis is a new set, and counts.
    node.cli("rerun", study)
    assert node.wait_for_state(study, "confirmed").line.revision == 2
