"""The study as a PACS lists it once every kind of result object has arrived."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pydicom import dcmread

from tests.e2e.conftest import Hospital, MakeExam, study_of
from tests.peers import dcmsend
from worker.contracts import Role
from worker.report.identity import SERIES_NUMBERS

pytestmark = [pytest.mark.orthanc, pytest.mark.dcmtk]
# Result objects of the default profile: modality, series number of the first, how its name begins.
BY_EXAM = {
    "SR": (9001, "AI report: "),
    "KO": (9003, "AI key images: "),
}
BY_VIEW = {"SEG": 9011, "OT": 9031, "PR": 9051}


@dataclass(frozen=True)
class Series:
    """One entry of the list of series."""

    modality: str
    number: int
    description: str
    instances: int


def test_orthanc_takes_the_default_profile_and_lists_each_object_in_a_series_of_its_own(
    hospital: Hospital, make_exam: MakeExam
) -> None:
    exam = make_exam(seed=5)
    study = study_of(exam)
    dcmsend(hospital.node.port, exam)
    sheet = hospital.node.wait_for_state(study, "confirmed")
    listed = list(_series(hospital, study))
    results = [one for one in listed if one.number >= min(SERIES_NUMBERS.values())]
    assert len(results) == len(sheet.deliveries)
    assert {one.instances for one in results} == {1}
    assert len({one.number for one in results}) == len(results)
    for one in results:
        assert one.description.startswith("AI ")
        assert one.description.endswith("(not reviewed)")
        assert len(one.description) <= 64
    for modality, (number, beginning) in BY_EXAM.items():
        (found,) = [one for one in results if one.modality == modality]
        assert found.number == number
        assert found.description.startswith(beginning)
    views = {one.number - 9031: one.description for one in results if one.modality == "OT"}
    assert sorted(views) == [0, 1, 2, 3]
    for modality, first in BY_VIEW.items():
        for one in results:
            if one.modality == modality:
                # "R CC: ..." in every object of the view.
                name = views[one.number - first].removeprefix("AI ").partition(":")[0]
                assert f"AI {name}: " in one.description, one
    assert {one.modality for one in results} == {*BY_EXAM, *BY_VIEW}
    assert Role.CAD_SR.value not in {row["role"] for row in sheet.deliveries}
    patient = dcmread(next(exam.glob("*.dcm")), specific_tags=["PatientID"]).PatientID
    (found_study,) = hospital.pacs.post("/tools/lookup", study)
    assert hospital.pacs.get(f"/studies/{found_study['ID']}")["PatientMainDicomTags"][
        "PatientID"
    ] == str(patient)


def _series(hospital: Hospital, study: str) -> Iterator[Series]:
    query = {"Level": "Series", "Expand": True, "Query": {"StudyInstanceUID": study}}
    for found in hospital.pacs.post("/tools/find", json.dumps(query)):
        tags = found["MainDicomTags"]
        yield Series(
            modality=tags["Modality"],
            number=int(tags["SeriesNumber"]),
            description=tags.get("SeriesDescription", ""),
            instances=len(found["Instances"]),
        )
