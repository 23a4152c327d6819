"""Old images removed: only what has arrived, rows first, safe against crashes and resends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.domain.delivery import outcome_of
from dicom_node.domain.job import JobState
from dicom_node.errors import ArchiveError, LedgerError
from dicom_node.retain import DAY_S, Retainer
from dicom_node.sections import Storage
from dicom_node.store import tables as t
from dicom_node.store.intake import Intake, Received
from dicom_node.store.ledger import Ledger
from tests.commands import run_command
from tests.integration.databases import audit, let_pass
from tests.integration.ledger_acts import PACS, parcels, rows, send
from tests.web_browser import Browser, finished
from tests.web_builders import Exam, Hospital

DAYS = 7


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    made = Hospital(tmp_path / "data")
    yield made
    audit(made.ledger.database)
    made.ledger.close()


def files(hospital: Hospital, exam: Exam) -> list[Path]:
    """Where the exam's images lie; put there first, as a receiver would have."""
    sheet = hospital.ledger.overview.sheet(exam.uid, ())
    assert sheet is not None
    paths = [hospital.archive.path(row["sha256"]) for row in sheet.instances]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"image")
    return paths


def retainer(hospital: Hospital, days: float = DAYS) -> Retainer:
    return Retainer(Storage(keep_days=days), hospital.archive, hospital.ledger)


def delivered(hospital: Hospital) -> Exam:
    exam = finished(hospital)
    state = hospital.ledger.overview.studies()[0].state
    assert state in {"delivered", "confirmed"}, state
    return exam


def test_images_go_once_they_are_old_and_results_stay(hospital: Hospital) -> None:
    exam = delivered(hospital)
    paths = files(hospital, exam)
    assert retainer(hospital).sweep().files == 0
    let_pass(hospital.ledger.database, DAYS * DAY_S + 1)
    assert retainer(hospital, days=0).sweep().files == 0
    swept = retainer(hospital).sweep()
    assert (swept.exams, swept.files) == (1, len(paths))
    assert not any(path.exists() for path in paths)
    sheet = hospital.ledger.overview.sheet(exam.uid, ())
    assert sheet is not None
    assert len(sheet.instances) == len(paths)
    assert all(hospital.archive.path(row["sha256"]).exists() for row in sheet.artefacts)
    assert retainer(hospital).sweep().exams == 0
    page = Browser(hospital).page(f"/study/{exam.uid}").text
    assert "removed after storage.keep_days" in page
    with pytest.raises(LedgerError, match="keep_days removed them"):
        hospital.ledger.revisions.rerun(exam.uid, "somebody")


@pytest.mark.parametrize("state", ["open", "queued", "analysed", "refused"])
def test_an_exam_that_has_not_arrived_keeps_its_images(hospital: Hospital, state: str) -> None:
    exam = hospital.exam(state).receive()
    if state != "open":
        exam.close()
    if state in {"analysed", "refused"}:
        exam.analyse()
    if state == "refused":
        exam.refuse(0xA900)
    paths = files(hospital, exam)
    let_pass(hospital.ledger.database, 10 * DAYS * DAY_S)
    assert retainer(hospital).sweep().files == 0
    assert all(path.exists() for path in paths)


def test_a_crash_between_row_and_file_is_made_good_the_next_time(hospital: Hospital) -> None:
    paths = files(hospital, delivered(hospital))
    let_pass(hospital.ledger.database, DAYS * DAY_S + 1)
    (old,) = hospital.ledger.retention.due(DAYS * DAY_S)
    assert hospital.ledger.retention.forget(old, DAYS * DAY_S)

    def dies(_sha256: str) -> None:
        raise ArchiveError("the disk is away")

    with pytest.raises(ArchiveError):
        hospital.ledger.retention.erase(hospital.ledger.retention.pending()[0], dies)
    assert all(path.exists() for path in paths)
    assert retainer(hospital, days=0).sweep().files == len(paths)
    assert not any(path.exists() for path in paths)


def test_an_image_that_comes_again_is_kept_again(hospital: Hospital) -> None:
    exam = delivered(hospital)
    first, *_ = files(hospital, exam)
    let_pass(hospital.ledger.database, DAYS * DAY_S + 1)
    (old,) = hospital.ledger.retention.due(DAYS * DAY_S)
    hospital.ledger.retention.forget(old, DAYS * DAY_S)
    sheet = hospital.ledger.overview.sheet(exam.uid, ())
    assert sheet is not None
    row = sheet.instances[0]
    again = Received(
        header=row["header"], sha256=row["sha256"], size=row["size"], association_id=None,
        calling_ae="MODALITY",
    )  # fmt: skip
    assert hospital.ledger.intake.record_instance(again) is Intake.DUPLICATE
    retainer(hospital, days=0).sweep()
    assert first.exists()


def test_a_file_that_is_a_result_too_stays(hospital: Hospital) -> None:
    exam = delivered(hospital)
    paths = files(hospital, exam)
    with hospital.ledger.database.write() as connection:
        result = connection.execute(t.artefacts.select()).first()
        assert result is not None
        one = connection.execute(t.instances.select()).first()
        assert one is not None
        connection.execute(
            t.instances.update().where(t.instances.c.id == one.id).values(sha256=result.sha256)
        )
    let_pass(hospital.ledger.database, DAYS * DAY_S + 1)
    assert retainer(hospital).sweep().files == len(paths) - 1
    assert hospital.archive.path(result.sha256).exists()


def test_the_command_says_what_would_go_and_then_does_it(hospital: Hospital) -> None:
    exam = delivered(hospital)
    paths = files(hospital, exam)
    let_pass(hospital.ledger.database, DAYS * DAY_S + 1)
    config = hospital.folder / "node.json"
    config.write_text(
        json.dumps({"storage": {"data_dir": str(hospital.folder), "keep_days": DAYS}})
    )
    dry = run_command("sweep", "--dry-run", "--config", str(config))
    assert f"{exam.uid}: {len(paths)} objects" in dry.output
    assert all(path.exists() for path in paths)
    done = run_command("sweep", "--config", str(config))
    assert f"1 exams: {len(paths)} files removed" in done.output
    assert not any(path.exists() for path in paths)


def test_both_databases_mark_and_erase_alike(ledger: Ledger) -> None:
    for parcel in parcels(ledger, PACS):
        send(ledger, parcel, outcome_of(0x0000))
    (job,) = rows(ledger, t.jobs.select())
    assert job.state == JobState.DELIVERED.value
    let_pass(ledger.database, 100.0)
    assert ledger.retention.due(200.0) == []
    (old,) = ledger.retention.due(50.0)
    assert ledger.retention.forget(old, 50.0)
    assert not ledger.retention.forget(old, 50.0)
    gone: list[str] = []
    hashes = ledger.retention.pending()
    assert len(hashes) == old.objects
    assert all(ledger.retention.erase(one, gone.append) for one in hashes)
    assert gone == hashes
    assert not ledger.retention.erase(hashes[0], gone.append)
