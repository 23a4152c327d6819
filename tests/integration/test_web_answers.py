"""What every answer of the web application has to be: safe, private, honest about faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dicom_node.store.ledger import Ledger
from tests.web_browser import Browser, Page, finished
from tests.web_builders import BUNDLE, OWNER, Hospital, picture


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    made = Hospital(tmp_path / "data")
    yield made
    made.ledger.close()


@pytest.fixture
def browser(hospital: Hospital) -> Browser:
    return Browser(hospital)


def test_no_address_carries_a_patient(hospital: Hospital, browser: Browser):
    exam = hospital.exam("secret", patient_id="PID-SECRET", accession_number="ACC-SECRET")
    exam.receive().close().analyse()
    for path in ("/", f"/study/{exam.uid}"):
        page = browser.page(path)
        for name in ("href", "src", "data-refresh", "action", "id"):
            assert not [attrs for _, attrs in page.tags if "SECRET" in (attrs.get(name) or "")]
        assert not [
            attrs for tag, attrs in page.tags if tag == "form" and attrs["method"] != "post"
        ]


@pytest.mark.parametrize("path", ["/", "/study/{uid}", "/exams", "/study/{uid}/now"])
def test_a_hostile_patient_id_is_only_text(hospital: Hospital, browser: Browser, path: str):
    hostile = '<script>alert("x")</script>'
    exam = hospital.exam("hostile", patient_id=hostile, accession_number='"><img src=x>')
    exam.receive().close().analyse()
    response = browser.get(path.format(uid=exam.uid))
    page = Page(response.text)
    assert "<script>alert" not in response.text
    assert hostile in page.text
    assert "x" not in page.all("img", "src")


def test_a_picture_is_served_as_it_was_stored(hospital: Hospital, browser: Browser):
    exam = finished(hospital)
    address = f"/study/{exam.uid}/{exam.job_id()}/heat_map/R-CC.png"
    answer = browser.get(address)
    assert answer.content == picture("R-CC", heat=True)
    assert answer.headers["content-type"] == "image/png"
    assert "private" in answer.headers["cache-control"]
    again = browser.get(address, **{"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("rest", ["preview/R-XX", "sr/exam", "analysis/exam", "seg/R-CC"])
def test_nothing_but_pictures_is_served(hospital: Hospital, browser: Browser, rest: str):
    exam = finished(hospital)
    answer = browser.get(f"/study/{exam.uid}/{exam.job_id()}/{rest}.png")
    assert answer.status_code == 404
    assert "No such picture" in answer.text


def test_a_picture_is_only_found_under_its_own_study(hospital: Hospital, browser: Browser):
    one, other = finished(hospital, "one"), finished(hospital, "other")
    path = f"/study/{other.uid}/{one.job_id()}/preview/R-CC.png"
    assert browser.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/study/1.2.3", "/study/..%2F..%2Fetc", "/nothing"])
def test_what_is_not_there_gives_a_page_that_helps(browser: Browser, path: str):
    answer = browser.get(path)
    assert answer.status_code == 404
    assert "Go to the list of exams" in answer.text
    assert "Research use, not for diagnosis" in answer.text


@pytest.mark.parametrize("path", ["/", "/nothing", "/live", "/static/page.css", "/metrics"])
def test_every_answer_forbids_foreign_and_inline_code(browser: Browser, path: str):
    headers = browser.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_pages_need_no_inline_code_and_nothing_from_elsewhere(hospital: Hospital, browser: Browser):
    exam = finished(hospital)
    for path in ("/", f"/study/{exam.uid}"):
        page = browser.page(path)
        assert page.all("script", "src") == ["/static/refresh.js"]
        assert [tag for tag, _ in page.tags].count("script") == 1
        for tag, attrs in page.tags:
            assert "style" not in attrs
            assert not [name for name in attrs if name.startswith("on")]
            assert not (attrs.get("src") or attrs.get("href") or "/").startswith("http"), tag


def test_pages_that_name_patients_stay_in_no_cache(hospital: Hospital, browser: Browser):
    exam = finished(hospital)
    for path in ("/", "/exams", f"/study/{exam.uid}"):
        assert browser.get(path).headers["cache-control"] == "no-store"


def test_the_research_notice_is_on_every_page(hospital: Hospital, browser: Browser):
    exam = finished(hospital)
    for path in ("/", f"/study/{exam.uid}", "/nothing"):
        assert "Research use, not for diagnosis" in browser.get(path).text


def test_a_ready_node_says_so_and_leaves_nothing_in_the_spool(hospital: Hospital, browser: Browser):
    assert browser.get("/live").text == "alive\n"
    assert browser.get("/ready").text == "ready\n"
    assert list(hospital.archive.spool.iterdir()) == []


def test_a_damaged_database_is_told_everywhere_with_the_reason(tmp_path: Path):
    hospital = Hospital(tmp_path / "data")
    hospital.ledger.close()
    for file in hospital.settings.data_dir.glob("ledger.db*"):
        file.write_bytes(b"this was a database once" * 100)
    hospital.ledger = Ledger(hospital.settings.ledger_url)
    browser = Browser(hospital)
    ready = browser.get("/ready")
    assert ready.status_code == 503
    assert ready.text.startswith("ledger: database refused: file is not a database")
    page = browser.get("/")
    assert page.status_code == 503
    assert "file is not a database" in page.text
    assert "faps_node_ledger_up 0.0" in browser.get("/metrics").text
    assert browser.get("/live").status_code == 200
    hospital.ledger.close()


def test_a_spool_that_is_gone_makes_the_node_not_ready(hospital: Hospital, browser: Browser):
    hospital.archive.spool.rmdir()
    answer = browser.get("/ready")
    assert answer.status_code == 503
    assert answer.text.startswith("spool: No such file or directory")


def test_metrics_count_states_and_name_nobody(hospital: Hospital, browser: Browser):
    hospital.ledger.workers.say_alive(OWNER, BUNDLE)
    exam = hospital.exam("secret", patient_id="PID-SECRET", accession_number="ACC-SECRET")
    exam.receive().close().analyse().deliver()
    text = browser.get("/metrics").text
    samples = {
        (sample.name, sample.labels.get("state", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["faps_node_jobs", "delivered"] == 1
    assert samples["faps_node_jobs", "failed"] == 0
    assert samples["faps_node_deliveries", "accepted"] == 3
    assert samples["faps_node_instances", "kept"] == 8
    assert samples["faps_node_workers_alive", ""] == 1
    assert ("faps_node_build_info", "") in samples
    for secret in ("SECRET", exam.uid, "MAMMO1", "reading-1"):
        assert secret not in text
