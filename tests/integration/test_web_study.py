"""A study's page over a real ledger and archive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.domain.instance import ImageKind
from dicom_node.domain.job import JobEvent
from dicom_node.domain.study import Verdict
from dicom_node.web.parcels import tallies
from tests.web_browser import Browser, finished
from tests.web_builders import BUNDLE, OWNER, VIEWS, Hospital


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    made = Hospital(tmp_path / "data")
    yield made
    made.ledger.close()


@pytest.fixture
def browser(hospital: Hospital) -> Browser:
    return Browser(hospital)


def test_a_failed_exam_is_never_shown_as_if_it_were_negative(hospital: Hospital, browser: Browser):
    exam = hospital.exam("failed").receive().close()
    exam.finish([("sr", "exam", b"sr")], event=JobEvent.GAVE_UP, reason="code stream is cut off")
    row = browser.page("/").row("ACC-1")
    assert row[1] == "failed code stream is cut off"
    assert row[3] == "not analysed"
    text = browser.page(f"/study/{exam.uid}").text
    assert "This is not a negative result" in text
    assert f"dicom-node rerun {exam.uid}" in text


def test_an_exam_that_lacks_images_names_the_command_that_fetches_them(
    hospital: Hospital, browser: Browser
):
    exam = hospital.exam("lacks").receive(["R-CC"])
    command = f"dicom-node pull --study {exam.uid} --from pacs"
    assert command in browser.page(f"/study/{exam.uid}").text
    exam.receive(["R-MLO", "L-CC", "L-MLO"]).close()
    assert command not in browser.page(f"/study/{exam.uid}").text


def test_the_grid_tells_received_paired_and_missing_images(hospital: Hospital, browser: Browser):
    exam = hospital.exam("grid").receive(["R-CC"]).receive(["R-MLO"], [ImageKind.RECOMBINED])
    page = browser.page(f"/study/{exam.uid}")
    assert page.row("Right")[1] == "low-energy: received recombined: received paired"
    assert page.row("Right")[2] == "low-energy: missing recombined: received incomplete"
    assert page.row("Left")[1] == "low-energy: missing recombined: missing missing"


def test_a_view_that_nobody_expects_gets_a_column_of_its_own(hospital: Hospital, browser: Browser):
    exam = hospital.exam("xccl").receive([*VIEWS, "L-XCCL"])
    page = browser.page(f"/study/{exam.uid}")
    assert page.row("Right")[3] == "not expected"
    assert page.row("Left")[3].endswith("paired")


def test_outline_and_heat_map_stand_side_by_side(hospital: Hospital, browser: Browser):
    exam = finished(hospital)
    page = browser.page(f"/study/{exam.uid}")
    folder = f"/study/{exam.uid}/{exam.job_id()}"
    expected = [f"{folder}/{role}/{v}.png" for v in VIEWS for role in ("preview", "heat_map")]
    assert [src for src in page.all("img", "src") if "/static/" not in src] == expected
    alts = page.all("img", "alt")
    assert "R CC, recombined image: 1 lesion outlined" in alts
    assert "L MLO, no heat map: no lesion found" in alts


def test_each_breast_has_its_probability_and_each_lesion_its_size(
    hospital: Hospital, browser: Browser
):
    exam = finished(hospital)
    page = browser.page(f"/study/{exam.uid}")
    assert "Right breast malignant probability of malignancy 83.4 %" in page.text
    assert "Left breast no lesion" in page.text
    assert page.rows.count(["1", "14.3 mm", "121 mm²", "97.2 %"]) == 2


def test_the_page_names_objects_images_events_and_stages(hospital: Hospital, browser: Browser):
    exam = finished(hospital)
    page = browser.page(f"/study/{exam.uid}")
    assert page.row("Structured report")[1:] == [
        "pacs", "accepted", "1", "0x0000", "status 0x0000"
    ]  # fmt: skip
    assert page.row("Segmentation network")[1] == "1.3 s"
    image = next(row for row in page.rows if "Image Type SUBTRACTION" in row)
    assert image[1:3] == ["R CC", "recombined"]
    assert image[4] == "paired by Frame of Reference UID"
    events = [row[1] for row in page.rows if row and row[0].startswith("+") and len(row) == 5]
    assert events[0].startswith("image received")
    assert "analysis began" in events
    assert events[-1] == "everything delivered"
    assert "worker reading-1, process 812" in page.text
    assert "From the last image to the last answer" in page.text


def test_an_excluded_image_says_why(hospital: Hospital, browser: Browser):
    exam = hospital.exam("ffdm").receive(["R-CC"], [ImageKind.FFDM])
    exam.close(Verdict.IGNORE, "no contrast-enhanced mammogram in the study")
    page = browser.page(f"/study/{exam.uid}")
    image = next(row for row in page.rows if "plain mammogram" in row)
    assert image[4] == "excluded a mammogram without contrast"
    assert "not analysed" in page.text


def test_a_held_exam_says_what_a_person_shall_do(hospital: Hospital, browser: Browser):
    exam = hospital.exam("held").receive(["R-CC"], [ImageKind.RECOMBINED])
    exam.close(Verdict.HOLD, "incomplete after 900 s: waiting for R CC: low-energy image")
    page = browser.page(f"/study/{exam.uid}")
    assert "Exam complete stopped" in page.text
    assert "Incomplete after 900 s" in page.text
    assert f"dicom-node rerun {exam.uid}" in page.text


def test_a_queued_exam_without_any_worker_says_so(hospital: Hospital, browser: Browser):
    exam = hospital.exam("queued").receive().close()
    assert "No worker is running" in browser.page(f"/study/{exam.uid}").text
    hospital.ledger.workers.say_alive(OWNER, BUNDLE)
    assert "No worker is running" not in browser.page(f"/study/{exam.uid}").text


def test_results_without_a_destination_say_what_to_configure(tmp_path: Path):
    hospital = Hospital(tmp_path, destinations=())
    exam = finished(hospital)
    assert "add one under [[destinations]]" in Browser(hospital).page(f"/study/{exam.uid}").text
    hospital.ledger.close()


def test_an_older_revision_stays_below_the_newer_one(hospital: Hospital, browser: Browser):
    exam = finished(hospital)
    first = exam.job_id()
    exam.receive(["R-XCCL"])
    page = browser.page(f"/study/{exam.uid}")
    assert "Revision 2 will take the place of the results below" in page.text
    exam.close().analyse(views=[*VIEWS, "R-XCCL"]).deliver()
    page = browser.page(f"/study/{exam.uid}")
    pictures = [src for src in page.all("img", "src") if "/preview/" in src]
    assert [exam.job_id() in src for src in pictures] == [True] * 5 + [False] * 4
    assert "Revision 1 delivered superseded" in page.text
    assert first in pictures[-1]


def test_a_record_that_cannot_be_read_hides_nothing_else(hospital: Hospital, browser: Browser):
    exam = hospital.exam("odd").receive().close()
    exam.finish([("analysis", "exam", b'{"schema": "faps-analysis/9"}'), ("sr", "exam", b"sr")])
    page = browser.page(f"/study/{exam.uid}")
    assert "The findings cannot be shown" in page.text
    assert "'faps-analysis/9'" in page.text
    assert page.row("Structured report")


def test_the_page_reads_the_record_that_a_worker_writes(hospital: Hospital, browser: Browser):
    # Imported here, because making result objects takes seconds of imports.
    from tests.analysis_builders import Spot, analysis, negative_breast, right_breast
    from worker.report.encode import encode

    made = encode(analysis(right_breast(Spot()), negative_breast("L")))
    exam = hospital.exam("real").receive().close()
    exam.finish([(result.role.value, result.key, result.content) for result in made])
    text = browser.page(f"/study/{exam.uid}").text
    assert "The findings cannot be shown" not in text
    assert "Right breast" in text
    assert "Left breast no lesion" in text
    row = browser.page("/").row("ACC-1")
    assert re.search(r"R: lesion, p\(malignant\) [\d.]+ %", row[3])


@pytest.mark.parametrize(
    ("states", "words", "done"),
    [
        (("accepted", "cancelled"), "1 of 1 accepted, 1 not sent any more", True),
        (("cancelled", "cancelled"), "2 not sent", True),
        (
            ("waiting", "cancelled", "refused"),
            "0 of 2 accepted, 1 refused, 1 not sent any more",
            False,
        ),
    ],
)
def test_what_is_sent_no_more_delays_nothing(
    states: tuple[str, ...], words: str, done: object
) -> None:
    given = [
        {
            "destination": "pacs",
            "state": state,
            "reason": "",
            "needs_commitment": 0,
            "needs_sight": 0,
            "proof": "",
        }
        for state in states
    ]
    (tally,) = tallies(given)
    assert (tally.words, tally.done) == (words, done)
