"""Random walks through the life of an exam, compared with a small model of it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from dicom_node.domain.delivery import outcome_of
from dicom_node.domain.job import MAX_ATTEMPTS, Job
from dicom_node.errors import LeaseLost, LedgerError
from dicom_node.store import tables as t
from dicom_node.store.ledger import Ledger
from tests.headers import STUDY
from tests.integration.databases import audit, let_pass
from tests.integration.ledger_acts import (
    FAILED,
    PACS,
    RESULTS,
    STORED,
    UNSUITABLE,
    artefact,
    new_job,
    rows,
)

ENDED = {"accepted", "refused", "replaced"}
A_MINUTE = 61.0  # longer than a lease and than every pause after a fault
ENDINGS = {"analysed": STORED, "unsuitable": UNSUITABLE, "failed": FAILED}


@dataclass
class ModelJob:
    """What a job should be."""

    state: str = "queued"
    attempts: int = 0
    token: int = 0
    leased: bool = False  # the lease still runs
    paused: bool = False  # waits after a fault
    stored: str = ""  # whose results the artefacts are
    planned: bool = False
    parcels: dict[int, str] = field(default_factory=dict)

    def settle(self) -> None:
        """The exam follows its objects; one that was replaced counts by the others."""
        left = set(self.parcels.values()) - {"replaced"}
        if self.state == "analysed" and left == {"accepted"}:
            self.state = "delivered"

    @property
    def claimable(self) -> bool:
        free = (self.state == "queued" and not self.paused) or (
            self.state == "analysing" and not self.leased
        )
        return free and self.attempts <= MAX_ATTEMPTS


class Walk(RuleBasedStateMachine):
    """One study, its revisions, its workers and its PACS."""

    migrated: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="walk-"))
        shutil.copy(self.migrated, self.folder / "ledger.db")
        self.ledger = Ledger(f"sqlite:///{self.folder / 'ledger.db'}")
        self.jobs: dict[str, ModelJob] = {}
        self.claims: list[Job] = []  # every claim ever, void ones included

    def teardown(self) -> None:
        audit(self.ledger.database)
        self.ledger.close()
        shutil.rmtree(self.folder)

    @property
    def newest(self) -> ModelJob:
        return list(self.jobs.values())[-1]

    @initialize()
    def an_exam_comes_in(self) -> None:
        self.jobs[new_job(self.ledger)] = ModelJob()

    @rule()
    def a_worker_claims(self) -> None:
        for job_id, model in self.jobs.items():
            job = self.ledger.jobs.claim(job_id, "worker", 60)
            assert (job is not None) == model.claimable
            if job is not None:
                model.attempts, model.token = model.attempts + 1, model.token + 1
                model.state, model.leased = "analysing", True
                assert (job.attempts, job.token) == (model.attempts, model.token)
                self.claims.append(job)

    def _holds(self, job: Job) -> bool:
        model = self.jobs[job.id]
        return model.state == "analysing" and model.token == job.token

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), ending=st.sampled_from(sorted(ENDINGS)))
    def a_worker_finishes(self, data: st.DataObject, ending: str) -> None:
        job = data.draw(st.sampled_from(self.claims))
        name = f"{job.id} {job.token}"
        results = [artefact(one.role, one.key, name) for one in RESULTS]
        if not self._holds(job):
            with pytest.raises(LeaseLost):
                self.ledger.jobs.finish(job, results, ENDINGS[ending])
            return
        self.ledger.jobs.finish(job, results, ENDINGS[ending])
        model = self.jobs[job.id]
        assert not model.stored
        model.state, model.leased, model.stored = ending, False, name

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def a_worker_meets_a_fault(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.claims))
        if not self._holds(job):
            with pytest.raises(LeaseLost):
                self.ledger.jobs.retry(job, "a fault")
            return
        self.ledger.jobs.retry(job, "a fault")
        model = self.jobs[job.id]
        model.state, model.leased, model.paused = "queued", False, True

    @rule()
    def a_minute_passes(self) -> None:
        let_pass(self.ledger.database, A_MINUTE)
        for model in self.jobs.values():
            model.leased = model.paused = False

    @rule()
    def the_dispatcher_sweeps(self) -> None:
        taken = self.ledger.jobs.take_back_leases()
        lost = [k for k, m in self.jobs.items() if m.state == "analysing" and not m.leased]
        assert sorted(taken) == sorted(lost)
        for job_id in taken:
            self.jobs[job_id].state = "queued"
        given_up = self.ledger.jobs.give_up_exhausted()
        spent = [
            k for k, m in self.jobs.items() if m.state == "queued" and m.attempts > MAX_ATTEMPTS
        ]
        assert sorted(given_up) == sorted(spent)
        for job_id in given_up:
            self.jobs[job_id].state = "failed"

    @rule()
    def deliveries_are_planned(self) -> None:
        self.ledger.deliveries.plan([PACS])
        for model in self.jobs.values():
            model.planned |= model.state in {"analysed", "unsuitable", "failed"}
        for row in rows(self.ledger, select(t.deliveries)):
            self.jobs[row.job_id].parcels.setdefault(row.id, "waiting")

    def _cancel_what_is_replaced(self) -> None:
        """Newer results, once planned, end what older ones have still to send."""
        replaced = False
        for model in reversed(self.jobs.values()):
            late = [k for k, s in model.parcels.items() if s in {"waiting", "unknown"}]
            if replaced and late:
                model.state = "withdrawn"
                model.parcels.update(dict.fromkeys(late, "cancelled"))
            replaced |= model.planned and model.state in {"analysed", "delivered", "withdrawn"}

    @rule(status=st.sampled_from([0x0000, 0xA700, 0xA900, None]))
    def an_object_is_sent(self, status: int | None) -> None:
        due = self.ledger.deliveries.due("pacs")
        self._cancel_what_is_replaced()
        if not due:
            return
        parcel = due[0]
        model = self.jobs[parcel.job_id]
        assert model.parcels[parcel.delivery_id] in {"waiting", "unknown"}
        self.ledger.deliveries.begin(parcel)
        instead = ("sr",) if parcel.role == "seg" and status == 0xA900 else ()
        self.ledger.deliveries.end(parcel, replace(outcome_of(status), instead=instead))
        query = select(t.deliveries.c.state).where(t.deliveries.c.id == parcel.delivery_id)
        state = rows(self.ledger, query)[0].state
        allowed = {
            0x0000: {"accepted"}, 0xA700: {"waiting"}, None: {"unknown"},
            0xA900: {"waiting", "replaced" if instead else "refused"},
        }  # fmt: skip
        assert state in allowed[status]
        model.parcels[parcel.delivery_id] = state
        model.settle()

    @rule()
    def a_person_sends_again(self) -> None:
        for job_id, model in self.jobs.items():
            if model.state == "withdrawn":
                with pytest.raises(LedgerError, match="withdrawn"):
                    self.ledger.deliveries.resend(job_id, None, "a person")
                continue
            number = self.ledger.deliveries.resend(job_id, None, "a person")
            assert number == len(model.parcels)
            ended = [k for k, s in model.parcels.items() if s in ENDED]
            for key in ended:
                model.parcels[key] = "waiting"
            if ended and model.state == "delivered":
                model.state = "analysed"

    @rule()
    def a_person_runs_the_exam_again(self) -> None:
        if self.newest.state in {"queued", "analysing"}:
            with pytest.raises(LedgerError):
                self.ledger.revisions.rerun(STUDY, "a person")
            return
        before = self.newest
        job_id = self.ledger.revisions.rerun(STUDY, "a person")
        if before.stored:
            assert job_id not in self.jobs
            self.jobs[job_id] = ModelJob()
        else:
            assert self.jobs[job_id] is before
            before.state, before.attempts, before.paused = "queued", 0, False

    @invariant()
    def the_ledger_says_what_the_model_says(self) -> None:
        for row in rows(self.ledger, select(t.jobs)):
            model = self.jobs[row.id]
            assert (row.state, row.attempts, row.token) == (
                model.state,
                model.attempts,
                model.token,
            )
        stored = {(row.job_id, row.sha256) for row in rows(self.ledger, select(t.artefacts))}
        assert stored == {
            (job_id, artefact(one.role, one.key, model.stored).sha256)
            for job_id, model in self.jobs.items()
            if model.stored
            for one in RESULTS
        }


def test_no_walk_leads_the_ledger_astray(migrated_sqlite: Path) -> None:
    Walk.migrated = migrated_sqlite
    run_state_machine_as_test(
        Walk,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
