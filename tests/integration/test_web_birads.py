"""A radiologist's category entered on an exam's page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.store import tables as t
from tests.web_browser import Browser, finished
from tests.web_builders import Exam, Hospital


@pytest.fixture(params=[True, False], ids=["on", "off"])
def assistance(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def hospital(tmp_path: Path, assistance: bool) -> Iterator[Hospital]:  # noqa: FBT001 - a fixture
    made = Hospital(tmp_path / "data", extra={"assistance": {"birads": assistance}})
    yield made
    made.ledger.close()


def categories(hospital: Hospital) -> list[tuple[str, str]]:
    with hospital.ledger.database.read() as connection:
        return [
            (row.laterality, row.category) for row in connection.execute(t.assessments.select())
        ]


def enter(hospital: Hospital, exam: Exam, headers: dict[str, str] | None = None, **fields: str):
    return Browser(hospital).ask(
        "POST", f"/study/{exam.uid}/birads", data=fields, headers=headers or {}
    )


def test_the_form_is_there_when_the_site_wants_it(hospital: Hospital, assistance: bool):  # noqa: FBT001 - a fixture
    exam = finished(hospital)
    page = Browser(hospital).page(f"/study/{exam.uid}").text
    assert ("Enter a radiologist's BI-RADS category" in page) is assistance
    answer = enter(hospital, exam, breast="R", category="4A")
    assert answer.status_code == (303 if assistance else 404)
    assert categories(hospital) == ([("R", "4A")] if assistance else [])
    if assistance:
        assert "R BI-RADS 4A" in Browser(hospital).page(f"/study/{exam.uid}").text


@pytest.mark.parametrize("assistance", [True], indirect=True)
@pytest.mark.parametrize(
    ("headers", "fields", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, {"breast": "R", "category": "4A"}, 403),
        ({"Origin": "http://elsewhere.example"}, {"breast": "R", "category": "4A"}, 403),
        ({}, {"breast": "R", "category": "9"}, 409),
        ({}, {}, 409),
    ],
    ids=["another site", "another origin", "no category", "nothing"],
)
def test_what_is_not_meant_changes_nothing(
    hospital: Hospital, headers: dict[str, str], fields: dict[str, str], status: int
):
    exam = finished(hospital)
    assert enter(hospital, exam, headers, **fields).status_code == status
    assert categories(hospital) == []


@pytest.mark.parametrize("assistance", [True], indirect=True)
def test_an_exam_that_is_being_analysed_says_wait(hospital: Hospital):
    exam = hospital.exam("queued").receive().close()
    answer = enter(hospital, exam, breast="R", category="4A")
    assert answer.status_code == 409
    assert "wait for it" in answer.text
