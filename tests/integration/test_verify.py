"""Files and rows compared: nothing that is named goes, nothing that is wrong stays unseen."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from dicom_node.errors import LedgerError
from dicom_node.sections import Storage
from dicom_node.store import tables as t
from dicom_node.store.archive import Archive
from dicom_node.store.intake import Intake, Received
from dicom_node.store.ledger import Ledger
from dicom_node.store.verification import NAMING, Filed, FileFault
from dicom_node.verify import DAY_S, ORPHAN_S, Verifier
from tests.commands import run_command
from tests.integration.databases import audit
from tests.integration.ledger_acts import analysed, rows
from tests.web_browser import Browser, finished
from tests.web_builders import Exam, Hospital


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    made = Hospital(tmp_path / "data")
    yield made
    audit(made.ledger.database)
    made.ledger.close()


def age(path: Path, seconds: float = ORPHAN_S + 60) -> Path:
    """Make a file as old as that."""
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def verifier(hospital: Hospital, percent: float = 100) -> Verifier:
    return Verifier(Storage(verify_percent=percent), hospital.archive, hospital.ledger)


def whole_pass(one: Verifier) -> None:
    """As many ticks as one day has."""
    while one.tick() < DAY_S:
        pass


def files(hospital: Hospital, exam: Exam) -> list[Path]:
    """The exam's images as they lie in the archive."""
    sheet = hospital.ledger.overview.sheet(exam.uid, ())
    assert sheet is not None
    return [hospital.archive.path(row["sha256"]) for row in sheet.instances]


def events(ledger: Ledger) -> list[tuple[str, str]]:
    query = select(t.events.c.event, t.events.c.subject).where(t.events.c.actor == "verify")
    return [(row.event, row.subject) for row in rows(ledger, query.order_by(t.events.c.id))]


def test_old_files_without_a_row_are_set_aside_and_no_others(hospital: Hospital) -> None:
    finished(hospital)
    archive = hospital.archive
    named = [age(path) for path in archive.objects.rglob("*") if path.is_file()]
    young = archive.path(archive.put(b"its row comes in a moment"))
    old = age(archive.path(archive.put(b"its row never came")))
    whole_pass(verifier(hospital))
    assert not old.exists()
    assert young.exists()
    assert all(path.exists() for path in named)
    (aside,) = archive.quarantine.iterdir()
    assert (aside.name, aside.read_bytes()) == (old.name, b"its row never came")
    assert events(hospital.ledger) == [("quarantined", "file")]
    assert "faps_node_quarantined_files 1.0" in Browser(hospital).get("/metrics").text


def test_what_is_named_at_the_last_moment_is_put_back(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    path = age(archive.path(archive.put(b"named just now")))
    asked: list[str] = []

    def is_known(name: str) -> bool:
        asked.append(name)
        assert not path.exists()  # whoever comes now writes it again
        return True

    assert not archive.set_aside(path, ORPHAN_S, is_known)
    assert asked == [path.name]
    assert path.read_bytes() == b"named just now"
    assert list(archive.quarantine.iterdir()) == []


def test_a_database_that_goes_away_meanwhile_moves_nothing(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    path = age(archive.path(archive.put(b"perhaps named")))

    def is_away(_name: str) -> bool:
        raise LedgerError("the database is away")

    with pytest.raises(LedgerError):
        archive.set_aside(path, ORPHAN_S, is_away)
    assert path.read_bytes() == b"perhaps named"


def test_what_a_crash_or_an_old_database_left_in_quarantine_comes_back(hospital: Hospital) -> None:
    first, second, *_ = files(hospital, finished(hospital))
    contents = first.read_bytes(), second.read_bytes()
    first.rename(hospital.archive.quarantine / first.name)
    second.rename(hospital.archive.quarantine / f"{second.name}.0a1b2c3d")
    unknown = hospital.archive.quarantine / ("f" * 64)
    unknown.write_bytes(b"nobody's")
    whole_pass(verifier(hospital))
    assert (first.read_bytes(), second.read_bytes()) == contents
    assert list(hospital.archive.quarantine.iterdir()) == [unknown]
    assert hospital.ledger.overview.counts()["files"] == {}


def test_what_is_put_again_is_young_again(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    path = age(archive.path(archive.put(b"an attempt that failed")))
    archive.put(b"an attempt that failed")
    assert archive.older(path.parent, ORPHAN_S) == []
    assert not archive.set_aside(path, ORPHAN_S, lambda _: False)
    assert path.exists()


def test_a_missing_and_a_changed_file_are_told_everywhere_and_once(hospital: Hospital) -> None:
    exam = finished(hospital)
    lost, rotten, *_ = files(hospital, exam)
    content = lost.read_bytes()
    lost.unlink()
    rotten.write_bytes(b"rotten")
    whole_pass(verifier(hospital, 0))
    assert hospital.ledger.overview.counts()["files"] == {"missing": 1}
    whole_pass(verifier(hospital))
    whole_pass(verifier(hospital))
    assert hospital.ledger.overview.counts()["files"] == {"missing": 1, "changed": 1}
    assert events(hospital.ledger) == [
        ("object_missing", "instance"),
        ("object_changed", "instance"),
    ]
    browser = Browser(hospital)
    assert "files missing" in browser.page("/").text
    page = browser.page(f"/study/{exam.uid}").text
    assert "its file is missing on the disk" in page
    assert "its file is changed on the disk" in page
    metrics = browser.get("/metrics").text
    assert 'faps_node_files{state="missing"} 1.0' in metrics
    lost.write_bytes(content)  # from the backup
    whole_pass(verifier(hospital))
    assert hospital.ledger.overview.counts()["files"] == {"changed": 1}
    assert events(hospital.ledger)[-1] == ("object_back", "instance")


def test_the_same_image_sent_again_heals_its_row(hospital: Hospital) -> None:
    exam = finished(hospital)
    sheet = hospital.ledger.overview.sheet(exam.uid, ())
    assert sheet is not None
    row = sheet.instances[0]
    hospital.archive.path(row["sha256"]).unlink()
    whole_pass(verifier(hospital))
    again = Received(
        header=row["header"], sha256=row["sha256"], size=row["size"], association_id=None,
        calling_ae="MODALITY",
    )  # fmt: skip
    assert hospital.ledger.intake.record_instance(again) is Intake.DUPLICATE
    assert hospital.ledger.overview.counts()["files"] == {}


def test_every_day_another_part_is_read(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = verifier(hospital, 10)
    hashes = [f"{n * 2**32 // 200:08x}" + "0" * 56 for n in range(200)]
    seen: list[str] = []
    for day in range(10):
        monkeypatch.setattr(
            "dicom_node.verify.time.time", lambda day=day: (20_000 + day) * DAY_S + 5
        )
        today = [sha256 for sha256 in hashes if one._is_due(sha256)]
        assert 19 <= len(today) <= 21
        seen += today
    assert set(seen) == set(hashes)


def test_the_command_sets_aside_and_tells(hospital: Hospital) -> None:
    finished(hospital)
    age(hospital.archive.path(hospital.archive.put(b"its row never came")))
    config = hospital.folder / "node.json"
    config.write_text(json.dumps({"storage": {"data_dir": str(hospital.folder)}}))
    assert "quarantine" not in run_command("sweep", "--dry-run", "--config", str(config)).output
    assert "1 files that no row names" in run_command("sweep", "--config", str(config)).output
    assert "1 files lie in" in run_command("sweep", "--dry-run", "--config", str(config)).output


def test_every_table_that_names_a_file_is_asked() -> None:
    named = {table for table in t.metadata.tables.values() if "sha256" in table.c}
    assert named == set(NAMING)


def test_both_databases_know_the_same_files(ledger: Ledger) -> None:
    analysed(ledger)
    images = ledger.verification.after("instances", 0, 100)
    results = ledger.verification.after("artefacts", 0, 100)
    assert ledger.verification.after("instances", images[1].id, 1) == [images[2]]
    assert {one.study_id for one in results} == {images[0].study_id}
    names = {one.sha256 for one in (*images, *results)}
    assert ledger.verification.known([*names, "f" * 64]) == names

    def fault(of: Filed) -> FileFault:
        (row,) = [one for one in ledger.verification.after(of.table, 0, 100) if one.id == of.id]
        return row.fault

    for one in (images[0], results[0]):
        assert ledger.verification.note(one, FileFault.MISSING)
        assert not ledger.verification.note(one, FileFault.MISSING)
        assert fault(one) is FileFault.MISSING
        assert ledger.verification.note(one, FileFault.NONE)
        assert fault(one) is FileFault.NONE
