"""Exams analysed again by a person's wish."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from dicom_node.domain.job import MAX_ATTEMPTS, JobState
from dicom_node.errors import LedgerError
from dicom_node.store import tables as t
from dicom_node.store.jobs import Ending
from dicom_node.store.ledger import Ledger
from tests.headers import STUDY, low_energy
from tests.integration.databases import let_pass
from tests.integration.ledger_acts import (
    EXPIRED,
    FAILED,
    HOLD,
    IGNORE,
    RESULTS,
    STORED,
    UNSUITABLE,
    analysed,
    artefact,
    claim,
    claimable,
    close,
    job_row,
    job_state,
    new_job,
    receive,
    receive_all,
    rows,
    study_row,
)


def test_an_incomplete_exam_is_held_until_a_person_says_go(ledger: Ledger) -> None:
    receive_all(ledger)
    job_id = close(ledger, HOLD)
    assert job_id is not None
    row = job_row(ledger, job_id)
    assert (row.state, row.reason_code, row.reason) == ("held", "incomplete", HOLD.reason)
    assert claimable(ledger) == []
    assert ledger.revisions.rerun(STUDY, "cli ada") == job_id
    assert claimable(ledger) == [job_id]
    assert job_row(ledger, job_id).reason_code == ""


def test_a_persons_word_ends_a_hold_for_the_images_to_come_too(ledger: Ledger) -> None:
    images = receive_all(ledger)
    receive(ledger, images[0], content="other")
    job_id = close(ledger)
    assert job_id is not None
    assert job_state(ledger, job_id) is JobState.HELD
    ledger.revisions.rerun(STUDY, "cli ada")
    receive(ledger, low_energy("L CC"))
    later = close(ledger)
    assert later is not None
    assert job_state(ledger, later) is JobState.QUEUED


def test_a_rerun_of_an_exam_with_results_is_the_next_revision(ledger: Ledger) -> None:
    first = analysed(ledger)
    second = ledger.revisions.rerun(STUDY, "cli ada")
    assert second != first
    assert ledger.revisions.newest_job(STUDY) == second
    assert job_row(ledger, second).revision == study_row(ledger).revision == 2
    assert job_row(ledger, second).input_hash == job_row(ledger, first).input_hash
    assert job_state(ledger, first) is JobState.ANALYSED
    (event,) = rows(ledger, select(t.events).where(t.events.c.subject_id == second))
    assert (event.event, event.actor) == ("created", "cli ada")


@pytest.mark.parametrize("ending", [UNSUITABLE, FAILED])
@pytest.mark.parametrize("planned", [True, False])
def test_a_reported_failure_is_followed_by_a_new_revision(
    ledger: Ledger, ending: Ending, planned: object
) -> None:
    job_id = new_job(ledger)
    ledger.jobs.finish(claim(ledger, job_id), [artefact("sr")], ending)
    if planned:
        ledger.deliveries.plan([])
    assert ledger.revisions.rerun(STUDY, "cli ada") != job_id
    assert len(rows(ledger, select(t.artefacts))) == 1


def test_a_failure_without_a_report_is_analysed_again_as_what_it_was(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    for _ in range(MAX_ATTEMPTS + 1):
        claim(ledger, job_id, EXPIRED)
    ledger.jobs.take_back_leases()
    ledger.jobs.give_up_exhausted()
    ledger.deliveries.plan([])
    assert ledger.revisions.rerun(STUDY, "cli ada") == job_id
    ledger.jobs.finish(claim(ledger, job_id), RESULTS, STORED)
    assert ledger.deliveries.plan([]) == 1


@pytest.mark.parametrize("state", ["queued", "analysing"])
def test_what_is_under_way_is_not_queued_twice(ledger: Ledger, state: str) -> None:
    job_id = new_job(ledger)
    if state == "analysing":
        claim(ledger, job_id)
    with pytest.raises(LedgerError, match=f"is {state} already"):
        ledger.revisions.rerun(STUDY, "cli ada")


def test_what_still_waits_or_never_came_cannot_be_run_again(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match=r"1\.2\.3: never received"):
        ledger.revisions.rerun("1.2.3", "cli ada")
    receive(ledger, low_energy())
    with pytest.raises(LedgerError, match="still waits"):
        ledger.revisions.rerun(STUDY, "cli ada")
    assert ledger.revisions.newest_job(STUDY) is None


def test_an_ignored_study_can_be_run_by_a_person_when_it_has_images(ledger: Ledger) -> None:
    receive(ledger, low_energy())
    close(ledger, IGNORE)
    job_id = ledger.revisions.rerun(STUDY, "cli ada")
    assert job_row(ledger, job_id).revision == 1
    assert claimable(ledger) == [job_id]


def test_a_study_without_any_image_cannot_be_run(ledger: Ledger) -> None:
    receive(ledger, low_energy(modality="SR"))
    close(ledger, IGNORE)
    with pytest.raises(LedgerError, match="no image to analyse"):
        ledger.revisions.rerun(STUDY, "cli ada")


def test_a_new_revision_follows_the_newest_one_that_has_results(ledger: Ledger) -> None:
    analysed(ledger)
    job = claim(ledger, ledger.revisions.rerun(STUDY, "cli ada"))
    before = ledger.revisions.predecessors(job)
    assert [(one.role, one.key) for one in before] == [("seg", "R-CC"), ("sr", "exam")]
    assert before == [one for one in RESULTS if one.sop_instance_uid]
    # A revision that ends without any result is passed over.
    for _ in range(MAX_ATTEMPTS):
        ledger.jobs.retry(job, "a fault")
        let_pass(ledger.database, 100)
        job = claim(ledger, job.id)
    ledger.jobs.retry(job, "a fault")
    ledger.jobs.give_up_exhausted()
    receive(ledger, low_energy("L CC"))
    third = close(ledger)
    assert third is not None
    assert ledger.revisions.predecessors(claim(ledger, third)) == before


def test_the_first_revision_follows_none(ledger: Ledger) -> None:
    assert ledger.revisions.predecessors(claim(ledger, new_job(ledger))) == []


def test_a_late_image_makes_a_revision_that_follows_the_first(ledger: Ledger) -> None:
    analysed(ledger)
    receive(ledger, low_energy("L CC"))
    second = close(ledger)
    assert second is not None
    before = ledger.revisions.predecessors(claim(ledger, second))
    assert {one.sop_instance_uid for one in before} == {
        one.sop_instance_uid for one in RESULTS if one.sop_instance_uid
    }
