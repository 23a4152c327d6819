"""The report of an analysis as its page shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.analysis_builders import WAYS, encoded
from tests.web_browser import Browser, finished
from tests.web_builders import Exam, Hospital, picture
from worker.contracts import Role


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    made = Hospital(tmp_path / "data")
    yield made
    made.ledger.close()


@pytest.fixture
def browser(hospital: Hospital) -> Browser:
    return Browser(hospital)


def reported(hospital: Hospital, way: str) -> Exam:
    """An exam whose stored report is a real one."""
    (content,) = [r.content for r in encoded(WAYS[way]) if r.role is Role.SR]
    exam = hospital.exam(way).receive().close()
    return exam.finish([("sr", "exam", content), ("preview", "R-CC", picture("R-CC"))])


def test_the_page_says_what_the_stored_report_says(hospital: Hospital, browser: Browser):
    exam = reported(hospital, "positive both breasts")
    page = browser.page(f"/study/{exam.uid}/{exam.job_id()}/report")
    for words in (
        "Research use, not for diagnosis",
        "complete, preliminary, not verified by a person",
        "Probability of cancer",
        "Differential Diagnosis/Impression Malignant",
        "R CC lesion 1",
        "Long Axis",
    ):
        assert words in page.text
    assert "Tracking Unique Identifier" not in page.text
    assert f"/study/{exam.uid}/{exam.job_id()}/preview/R-CC.png" in page.all("img", "src")


def test_a_report_of_a_failure_says_that_it_is_not_negative(hospital: Hospital, browser: Browser):
    exam = reported(hospital, "failed")
    text = browser.page(f"/study/{exam.uid}/{exam.job_id()}/report").text
    assert "This is not a negative result" in text
    assert "No algorithms succeeded" in text


def test_the_exam_leads_to_its_report(hospital: Hospital, browser: Browser):
    exam = finished(hospital)
    links = browser.page(f"/study/{exam.uid}").all("a", "href")
    assert f"/study/{exam.uid}/{exam.job_id()}/report" in links


def test_without_a_report_the_page_says_so(hospital: Hospital, browser: Browser):
    exam = hospital.exam("none").receive().close()
    answer = browser.get(f"/study/{exam.uid}/{exam.job_id()}/report")
    assert answer.status_code == 404
    assert "has not written one" in answer.text
    assert browser.get(f"/study/1.2.3/{exam.job_id()}/report").status_code == 404


def test_a_stored_file_that_is_no_report_is_told(hospital: Hospital, browser: Browser):
    exam = finished(hospital)  # its report is not DICOM
    answer = browser.get(f"/study/{exam.uid}/{exam.job_id()}/report")
    assert answer.status_code == 503
    assert "cannot be read" in answer.text


def test_another_object_under_its_name_is_no_report(hospital: Hospital, browser: Browser):
    (seg, *_) = [r.content for r in encoded(WAYS["positive one breast"]) if r.role is Role.SEG]
    exam = hospital.exam("seg").receive().close().finish([("sr", "exam", seg)])
    answer = browser.get(f"/study/{exam.uid}/{exam.job_id()}/report")
    assert answer.status_code == 503
    assert "is no structured report" in answer.text


def test_only_what_some_destination_takes_is_listed(hospital: Hospital, browser: Browser):
    exam = hospital.exam("forms").receive().close()
    exam.finish([("sr", "exam", b"one"), ("sr_2d", "exam", b"two"), ("analysis", "exam", b"{}")])
    assert _objects(browser, exam) == ["Result objects 1 Object"]
    exam.deliver()
    assert _objects(browser, exam) == ["Result objects 1 Object"]
    assert "1 of 1 accepted" in browser.page(f"/study/{exam.uid}").text


def _objects(browser: Browser, exam: Exam) -> list[str]:
    return re.findall(r"Result objects \d+ Object", browser.page(f"/study/{exam.uid}").text)
