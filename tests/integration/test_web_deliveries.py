"""What the page and the metrics say of objects that are held, or that others took the place of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dicom_node.domain.delivery import DELIVER_ATTEMPTS_PERMANENT, outcome_of
from tests.integration.databases import let_pass
from tests.web_browser import Browser
from tests.web_builders import Exam, Hospital

WHY = "has the study with another Patient ID"


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    made = Hospital(tmp_path / "data")
    yield made
    made.ledger.close()


@pytest.fixture
def browser(hospital: Hospital) -> Browser:
    return Browser(hospital)


def analysed(hospital: Hospital) -> Exam:
    exam = hospital.exam("one").receive().close().analyse()
    hospital.ledger.deliveries.plan(hospital.plans())
    return exam


def test_a_held_exam_says_why_and_how_it_goes_on(hospital: Hospital, browser: Browser) -> None:
    exam = analysed(hospital)
    hospital.ledger.rechecks.hold(exam.job_id(), "pacs", WHY)
    page = browser.page(f"/study/{exam.uid}")
    assert "knows this study by other patient data" in page.text
    assert f"dicom-node resend {exam.uid}" in page.text
    assert "0 of 3 accepted, 3 held" in page.text
    home = browser.page("/")
    assert f"pacs: {WHY}" in home.text
    assert "objects held 3" in home.text


def test_replaced_objects_are_told_though_the_exam_is_delivered(
    hospital: Hospital, browser: Browser
) -> None:
    exam = analysed(hospital)
    ledger = hospital.ledger.deliveries
    refusal = replace(
        outcome_of(0x0122), reason="does not take Segmentation Storage", instead=("sr",)
    )
    for _ in range(DELIVER_ATTEMPTS_PERMANENT):
        for parcel in ledger.due("pacs"):
            ledger.begin(parcel)
            ledger.end(parcel, refusal if parcel.role == "seg" else outcome_of(0x0000))
        let_pass(hospital.ledger.database, 100)
    page = browser.page(f"/study/{exam.uid}")
    assert "1 of 1 accepted, 2 replaced" in page.text
    assert "does not take Segmentation Storage; SR sent in its place" in page.text
    assert "dicom-node probe NAME" in page.text
    assert browser.page("/").row("ACC-1")[1].startswith("delivered pacs: does not take")
    assert "objects replaced 2" in browser.page("/").text
    metrics = browser.get("/metrics").text
    assert 'faps_node_fallbacks{destination="pacs",role="seg"} 2.0' in metrics
