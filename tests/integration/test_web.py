"""The list of exams over a real ledger and archive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.domain.instance import ImageKind
from dicom_node.domain.job import JobState
from dicom_node.domain.study import StudyState
from dicom_node.web.words import IGNORED, STATES
from tests.web_browser import Browser, Page, finished
from tests.web_builders import BUNDLE, OWNER, Hospital


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    made = Hospital(tmp_path / "data")
    yield made
    made.ledger.close()


@pytest.fixture
def browser(hospital: Hospital) -> Browser:
    return Browser(hospital)


def test_an_empty_node_says_where_to_send_to(browser: Browser):
    text = browser.page("/").text
    assert "No exam yet" in text
    assert "FAPS at 127.0.0.1:11112" in text
    assert "No worker is running" in text


def test_every_state_of_the_ledger_has_words():
    states = {state.value for state in (*JobState, *StudyState)} - {"closed"}
    assert states | {IGNORED} == set(STATES)


def test_the_list_has_the_newest_exam_first(hospital: Hospital, browser: Browser):
    for number in (1, 2, 3):
        hospital.exam(f"exam {number}", accession_number=f"ACC-{number}").receive(["R-CC"])
    firsts = [row[0] for row in browser.page("/").rows[1:]]
    assert [first.split()[0] for first in firsts] == ["ACC-3", "ACC-2", "ACC-1"]


def test_a_finished_exam_is_told_in_one_row(hospital: Hospital):
    exam = finished(hospital)
    sheet = hospital.ledger.overview.sheet(exam.uid, ())
    now = sheet.line.last_received_at + 200
    row = Browser(hospital, now).page("/").row("ACC-1")
    assert row == [
        "ACC-1 Patient ID CEM-1",
        "delivered",
        "8 images 4 of 4 views paired",
        "R: lesion, p(malignant) 83.4 % L: no lesion",
        "pacs 3 of 3 accepted",
        "3 min ago from MAMMO1",
    ]


def test_an_open_exam_says_what_it_waits_for(hospital: Hospital, browser: Browser):
    hospital.exam("open").receive(["R-CC"]).receive(["L-MLO"], [ImageKind.LOW_ENERGY])
    row = browser.page("/").row("ACC-1")
    assert row[1] == "open waiting for L MLO: recombined image"
    assert row[3:5] == ["none yet", "none yet"]


def test_the_row_changes_when_the_exam_does(hospital: Hospital, browser: Browser):
    exam = hospital.exam("moving").receive()
    seen = [browser.page("/exams").row("ACC-1")[1].split()[0]]
    for step in (exam.close, exam.claim):
        step()
        seen.append(browser.page("/exams").row("ACC-1")[1].split()[0])
    assert seen == ["open", "queued", "analysing"]


def test_a_late_image_reopens_an_exam_that_the_list_had_settled(
    hospital: Hospital, browser: Browser
):
    exam = finished(hospital)
    assert browser.page("/").row("ACC-1")[1] == "delivered"
    exam.receive(["R-XCCL"], [ImageKind.RECOMBINED])
    row = browser.page("/").row("ACC-1")
    assert row[1].startswith("open revision 2")
    assert row[3].endswith("of the revision before")


def test_a_refusal_is_red_and_says_why(hospital: Hospital, browser: Browser):
    exam = hospital.exam("refused").receive().close().analyse().refuse(0x0122)
    page = browser.page("/")
    row = page.row("ACC-1")
    assert row[1] == "failed pacs refused a result: status 0x0122"
    assert row[4] == "pacs 0 of 3 accepted, 3 refused"
    assert "edge bad" in page.all("tr", "class")
    study = browser.page(f"/study/{exam.uid}")
    assert "A destination refuses result objects" in study.text
    assert study.row("Segmentation R CC")[1:] == [
        "pacs", "refused", "3", "0x0122", "status 0x0122"
    ]  # fmt: skip


def test_a_commitment_is_more_than_an_acceptance(tmp_path: Path):
    pacs = {"name": "pacs", "ae_title": "PACS", "host": "p", "confirm": "commitment"}
    hospital = Hospital(tmp_path, destinations=(pacs,))
    exam = finished(hospital)
    assert Browser(hospital).page("/").row("ACC-1")[4] == "pacs 0 of 3 confirmed"
    exam.deliver(confirm=True)
    row = Browser(hospital).page("/").row("ACC-1")
    assert (row[1], row[4]) == ("confirmed", "pacs 3 of 3 confirmed")
    hospital.ledger.close()


def test_workers_that_are_alive_are_counted_with_their_model(hospital: Hospital, browser: Browser):
    hospital.ledger.workers.say_alive(OWNER, BUNDLE)
    text = browser.page("/").text
    assert "worker 1 " in text
    assert "No worker is running" not in text
    assert BUNDLE in text


@pytest.mark.parametrize("text", ["ACC-7", "CEM-7", " ACC-7 "])
def test_a_search_that_finds_one_exam_goes_to_it(hospital: Hospital, browser: Browser, text: str):
    exam = hospital.exam("seven", accession_number="ACC-7", patient_id="CEM-7").receive(["R-CC"])
    hospital.exam("other").receive(["R-CC"])
    answer = browser.ask("POST", "/search", data={"q": text})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/study/{exam.uid}")


def test_a_search_lists_all_exams_of_a_patient_and_no_other(hospital: Hospital, browser: Browser):
    for number in (1, 2):
        hospital.exam(f"exam {number}", accession_number=f"ACC-{number}").receive(["R-CC"])
    hospital.exam("other", accession_number="ACC-3", patient_id="CEM-2").receive(["R-CC"])
    text = Page(browser.ask("POST", "/search", data={"q": "CEM-1"}).text).text
    assert "2 exams" in text
    assert "ACC-1" in text
    assert "ACC-2" in text
    assert "ACC-3" not in text


def test_a_search_for_nothing_known_says_how_it_searches(browser: Browser):
    answer = browser.ask("POST", "/search", data={"q": "<b>x</b>"})
    assert "No exam found" in answer.text
    assert "<b>x</b>" not in answer.text


def test_a_search_takes_no_endless_text(browser: Browser):
    assert browser.ask("POST", "/search", data={"q": "x" * 10_000}).status_code == 413
