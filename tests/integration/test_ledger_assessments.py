"""Radiologists' categories in the ledger, and the analyses that answer to them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicom_node.domain.instance import ImageKind, InstanceHeader
from dicom_node.errors import LedgerError
from dicom_node.store.intake import Intake
from dicom_node.store.ledger import Ledger
from tests.headers import STUDY, low_energy, uid
from tests.integration.ledger_acts import (
    RESULTS,
    STORED,
    analysed,
    claim,
    close,
    job_row,
    new_job,
    receive,
    receive_all,
    study_row,
)


def report(*categories: str, number: int = 1, **changes: object) -> InstanceHeader:
    """A radiologist's structured report."""
    return replace(
        low_energy("R CC"),
        sop_instance_uid=uid("report", number),
        modality="SR",
        kind=ImageKind.NOT_MAMMOGRAPHY,
        exclusion="not_mammography",
        assessments=categories,
        **changes,
    )


def test_a_report_that_comes_with_the_images_goes_into_the_job(ledger: Ledger) -> None:
    receive_all(ledger)
    assert receive(ledger, report("R 4A", "L 2")) is Intake.IGNORED
    job_id = close(ledger)
    assert job_id is not None
    assert claim(ledger, job_id).assessments == {"L": "2", "R": "4A"}


def test_a_report_that_comes_later_makes_the_next_revision(ledger: Ledger) -> None:
    first = analysed(ledger)
    receive(ledger, report("R 4B"))
    assert (study_row(ledger).state, study_row(ledger).revision) == ("open", 2)
    second = close(ledger)
    assert second is not None
    before, after = job_row(ledger, first), job_row(ledger, second)
    assert (before.assessments, after.assessments) == ({}, {"R": "4B"})
    # Other objects come of it, so they need other UIDs.
    assert before.input_hash != after.input_hash
    receive(ledger, report("R 4B", number=2))
    assert study_row(ledger).state == "closed"


def test_a_report_of_another_patient_is_no_word_on_this_one(ledger: Ledger) -> None:
    analysed(ledger)
    receive(ledger, report("R 4B", patient_id="SOMEBODY ELSE"))
    assert study_row(ledger).state == "closed"


def test_a_person_enters_a_category_and_a_new_revision_answers(ledger: Ledger) -> None:
    first = analysed(ledger)
    second = ledger.revisions.assess(STUDY, "R", "4A", "cli ada")
    assert second not in {None, first}
    assert job_row(ledger, str(second)).assessments == {"R": "4A"}
    ledger.jobs.finish(claim(ledger, str(second)), RESULTS, STORED)
    assert ledger.revisions.assess(STUDY, "R", "4A", "cli ada") is None
    third = ledger.revisions.assess(STUDY, "R", "4C", "cli ada")
    assert job_row(ledger, str(third)).assessments == {"R": "4C"}


def test_a_category_for_an_exam_that_still_waits_is_kept_for_its_job(ledger: Ledger) -> None:
    receive_all(ledger)
    assert ledger.revisions.assess(STUDY, "L", "4", "page") is None
    job_id = close(ledger)
    assert job_id is not None
    assert job_row(ledger, job_id).assessments == {"L": "4"}


def test_a_category_during_the_analysis_is_refused_whole(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    with pytest.raises(LedgerError, match="is queued already; wait for it"):
        ledger.revisions.assess(STUDY, "L", "4", "page")
    ledger.jobs.finish(claim(ledger, job_id), RESULTS, STORED)
    assert ledger.revisions.assess(STUDY, "L", "4", "page") is not None


def test_nobody_is_assessed_who_never_came(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="never received here"):
        ledger.revisions.assess("1.2.3", "L", "4", "page")
