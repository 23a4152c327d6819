"""Jobs claimed by lease, and changed only by whoever holds it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from dicom_node.domain.job import MAX_ATTEMPTS, Job, JobEvent, JobState
from dicom_node.errors import LeaseLost, LedgerError
from dicom_node.store import tables as t
from dicom_node.store.jobs import Ending, Hint, change_job
from dicom_node.store.ledger import Ledger
from tests.headers import STUDY, low_energy
from tests.integration.databases import let_pass
from tests.integration.ledger_acts import (
    EXPIRED,
    FAILED,
    RESULTS,
    STORED,
    UNSUITABLE,
    artefact,
    claim,
    claimable,
    close,
    job_row,
    job_state,
    new_job,
    receive_all,
    rows,
)


def _artefacts(ledger: Ledger) -> list[str]:
    return [row.sha256 for row in rows(ledger, select(t.artefacts).order_by(t.artefacts.c.id))]


def test_a_new_job_is_to_be_had_by_one_worker(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    assert claimable(ledger) == [job_id]
    job = claim(ledger, job_id)
    assert (job.study_instance_uid, job.revision, job.attempts, job.token) == (STUDY, 1, 1, 1)
    assert job.state is JobState.ANALYSING
    assert ledger.jobs.claim(job_id, "other", 60) is None
    assert claimable(ledger) == []
    assert ledger.jobs.owners() == ["worker"]


def test_a_worker_gets_the_job_as_it_stands_and_why_the_last_attempt_failed(
    ledger: Ledger,
) -> None:
    receive_all(ledger)
    ledger.revisions.assess(STUDY, "R", "4A", "cli ada")
    job_id = close(ledger)
    assert job_id is not None
    ledger.jobs.retry(claim(ledger, job_id), "no memory left")
    let_pass(ledger.database, 20)
    before = job_row(ledger, job_id)
    assert claim(ledger, job_id) == Job(
        id=job_id,
        study_instance_uid=STUDY,
        revision=1,
        input_hash=before.input_hash,
        state=JobState.ANALYSING,
        reason="no memory left",
        attempts=2,
        token=2,
        created_at=before.created_at,
        assessments={"R": "4A"},
    )


def test_a_job_that_somebody_has_changed_meanwhile_is_not_changed(ledger: Ledger) -> None:
    job_id = new_job(ledger)

    def too_late(row: Any) -> None:
        with (
            pytest.raises(LedgerError, match=f"job {job_id}: changed by somebody else"),
            ledger.database.write() as connection,
        ):
            change_job(connection, row, JobEvent.RETRY, 0.0, actor="late")

    claim(ledger, job_id, EXPIRED, "one")
    first = job_row(ledger, job_id)
    ledger.jobs.take_back_leases()
    too_late(first)  # the same token in another state
    claim(ledger, job_id, EXPIRED, "two")
    second = job_row(ledger, job_id)
    claim(ledger, job_id, owner="three")
    too_late(second)  # the same state under another token
    assert job_row(ledger, job_id).lease_owner == "three"


def test_a_job_that_nobody_knows_is_not_to_be_had(ledger: Ledger) -> None:
    assert ledger.jobs.claim("no such job", "worker", 60) is None


def test_a_hint_is_given_again_only_after_a_while(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    ledger.jobs.mark_hinted([job_id])
    assert claimable(ledger) == []
    let_pass(ledger.database, 6)
    assert claimable(ledger) == [job_id]


def test_a_hint_says_whether_the_queue_was_told_before(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    assert ledger.jobs.claimable() == [Hint(job_id, rung_before=False)]
    ledger.jobs.mark_hinted([job_id])
    let_pass(ledger.database, 6)
    assert ledger.jobs.claimable() == [Hint(job_id, rung_before=True)]


def test_after_a_retry_or_a_lost_lease_the_queue_is_told_as_of_a_new_job(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    ledger.jobs.mark_hinted([job_id])
    claim(ledger, job_id, owner="dead")
    ledger.jobs.take_back_leases(["dead"])
    assert ledger.jobs.claimable() == [Hint(job_id, rung_before=False)]
    assert job_row(ledger, job_id).lease_until is None
    ledger.jobs.mark_hinted([job_id])
    ledger.jobs.retry(claim(ledger, job_id), "database refused")
    assert job_row(ledger, job_id).lease_until is None
    let_pass(ledger.database, 20)
    assert ledger.jobs.claimable() == [Hint(job_id, rung_before=False)]


def test_what_a_dead_worker_has_finished_stays_finished(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    ledger.jobs.finish(claim(ledger, job_id, owner="dead"), RESULTS, STORED)
    assert ledger.jobs.take_back_leases(["dead"]) == []
    assert job_state(ledger, job_id) is JobState.ANALYSED


def test_the_oldest_job_is_hinted_first(ledger: Ledger) -> None:
    first = new_job(ledger, [low_energy(study_instance_uid="1.2.1")])
    second = new_job(ledger, [low_energy(study_instance_uid="1.2.2")])
    let_pass(ledger.database, 10)
    third = new_job(ledger, [low_energy(study_instance_uid="1.2.3")])
    assert claimable(ledger) == [first, second, third]
    assert claimable(ledger, limit=1) == [first]
    with ledger.database.write() as connection:
        older = update(t.jobs).where(t.jobs.c.id == third)
        connection.execute(older.values(created_at=t.jobs.c.created_at - 100))
    assert claimable(ledger) == [third, first, second]


def test_a_lease_that_ran_out_is_taken_over_and_its_token_is_void(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    slow = claim(ledger, job_id, EXPIRED, "slow")
    quick = claim(ledger, job_id, owner="quick")
    assert (quick.token, quick.attempts) == (2, 2)
    with pytest.raises(LeaseLost, match=job_id):
        ledger.jobs.finish(slow, [artefact("sr", content="slow")], STORED)
    with pytest.raises(LeaseLost):
        ledger.jobs.retry(slow, "late")
    assert not ledger.jobs.heartbeat(slow, 60)
    assert _artefacts(ledger) == []
    assert job_state(ledger, job_id) is JobState.ANALYSING
    ledger.jobs.finish(quick, [artefact("sr", content="quick")], STORED)
    assert _artefacts(ledger) == [artefact("sr", content="quick").sha256]


def test_a_heartbeat_keeps_the_lease(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    job = claim(ledger, job_id, 10)
    let_pass(ledger.database, 9)
    assert ledger.jobs.heartbeat(job, 10)
    let_pass(ledger.database, 9)
    assert ledger.jobs.claim(job_id, "other", 10) is None
    let_pass(ledger.database, 2)
    assert ledger.jobs.claim(job_id, "other", 10) is not None


def test_leases_that_ran_out_are_taken_back(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    job = claim(ledger, job_id, 60)
    assert ledger.jobs.take_back_leases() == []
    let_pass(ledger.database, 61)
    assert ledger.jobs.take_back_leases() == [job_id]
    assert job_state(ledger, job_id) is JobState.QUEUED
    assert claimable(ledger) == [job_id]
    with pytest.raises(LeaseLost):
        ledger.jobs.finish(job, RESULTS, STORED)


def test_a_dead_workers_lease_is_taken_back_at_once_and_no_other(ledger: Ledger) -> None:
    dead = new_job(ledger, [low_energy(study_instance_uid="1.2.1")])
    alive = new_job(ledger, [low_energy(study_instance_uid="1.2.2")])
    claim(ledger, dead, owner="dead")
    claim(ledger, alive, owner="alive")
    assert ledger.jobs.take_back_leases(["dead"]) == [dead]
    assert job_state(ledger, alive) is JobState.ANALYSING


def test_an_exam_that_kills_its_workers_runs_out_of_attempts(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert claim(ledger, job_id, EXPIRED).attempts == attempt
        assert ledger.jobs.take_back_leases() == [job_id]
        assert ledger.jobs.give_up_exhausted() == []
    # One claim more, which only makes the report of the failure.
    assert claim(ledger, job_id, EXPIRED).attempts == MAX_ATTEMPTS + 1
    assert ledger.jobs.claim(job_id, "worker", 60) is None
    assert claimable(ledger) == []
    assert ledger.jobs.give_up_exhausted() == []
    ledger.jobs.take_back_leases()
    assert claimable(ledger) == []
    assert ledger.jobs.give_up_exhausted() == [job_id]
    row = job_row(ledger, job_id)
    assert (row.state, row.reason_code) == ("failed", "worker_lost")
    assert "4 attempts" in row.reason


def test_the_claim_that_only_reports_can_finish(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    for _ in range(MAX_ATTEMPTS):
        claim(ledger, job_id, EXPIRED)
    ledger.jobs.finish(claim(ledger, job_id), [artefact("sr")], FAILED)
    assert job_state(ledger, job_id) is JobState.FAILED
    assert len(_artefacts(ledger)) == 1


def test_a_retry_waits_longer_each_time(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    for attempt in (1, 2, 3):
        ledger.jobs.retry(claim(ledger, job_id), "database refused")
        row = job_row(ledger, job_id)
        assert row.reason == "database refused"
        assert row.next_at - row.updated_at == pytest.approx(10 * attempt, abs=1e-3)
        assert claimable(ledger) == []
        assert ledger.jobs.claim(job_id, "worker", 60) is None
        let_pass(ledger.database, 10 * attempt)
        assert claimable(ledger) == [job_id]


def test_results_are_written_once_and_the_ending_with_them(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    job = claim(ledger, job_id)
    ledger.jobs.finish(job, [*RESULTS, artefact("sr", content="other")], STORED)
    assert _artefacts(ledger) == [one.sha256 for one in RESULTS]
    row = job_row(ledger, job_id)
    assert (row.state, row.bundle, row.seconds) == ("analysed", "FAPS 0", {"segment": 1.5})
    assert row.lease_until is None
    with pytest.raises(LeaseLost):
        ledger.jobs.finish(job, [artefact("sr", "second")], STORED)
    assert len(_artefacts(ledger)) == len(RESULTS)


@pytest.mark.parametrize(
    ("ending", "state"),
    [(STORED, "analysed"), (UNSUITABLE, "unsuitable"), (FAILED, "failed")],
)
def test_an_analysis_ends_as_it_says(ledger: Ledger, ending: Ending, state: str) -> None:
    job_id = new_job(ledger)
    job = claim(ledger, job_id)
    ledger.jobs.finish(job, RESULTS, ending)
    row = job_row(ledger, job_id)
    assert row.state == state
    assert ledger.jobs.claim(job_id, "worker", 60) is None


def test_a_fault_in_the_middle_of_finishing_writes_nothing(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    job = claim(ledger, job_id)
    broken = artefact("sr")
    object.__setattr__(broken, "size", None)
    with pytest.raises(LedgerError, match="database refused"):
        ledger.jobs.finish(job, [artefact("seg"), broken], STORED)
    assert _artefacts(ledger) == []
    assert job_state(ledger, job_id) is JobState.ANALYSING


def test_workers_that_fell_silent_are_not_alive(ledger: Ledger) -> None:
    ledger.workers.say_alive("one", "FAPS 0")
    ledger.workers.say_alive("two", "FAPS 0")
    let_pass(ledger.database, 30)
    ledger.workers.say_alive("two", "FAPS 1")
    assert ledger.workers.alive(20) == {"two": "FAPS 1"}
    assert set(ledger.workers.alive(40)) == {"one", "two"}
    ledger.workers.say_goodbye("two")
    assert ledger.workers.alive(20) == {}
    let_pass(ledger.database, 3600)
    ledger.workers.say_alive("three", "FAPS 1")
    assert set(ledger.workers.alive(1e6)) == {"three"}
