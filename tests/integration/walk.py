"""Random walks through the life of an exam, compared with a small model of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from dicom_node.domain.instance import ImageKind
from dicom_node.domain.job import MAX_ATTEMPTS, Job
from dicom_node.errors import LeaseLost, LedgerError
from dicom_node.store import tables as t
from dicom_node.store.jobs import RETRY_PAUSE_S, Artefact
from dicom_node.store.ledger import Ledger
from dicom_node.store.studies import OpenStudy
from tests.headers import STUDY, cem_exam, header, uid
from tests.integration.databases import audit, let_pass
from tests.integration.ledger_acts import (
    FAILED,
    HOLD,
    READY,
    RESULTS,
    STORED,
    UNSUITABLE,
    artefact,
    receive,
    rows,
    sha256,
)
from tests.integration.walk_model import ModelJob, ModelStudy

LEASE_S = 60.0
ENDINGS = {"analysed": STORED, "unsuitable": UNSUITABLE, "failed": FAILED}
# A lease ends after one of the first, a pause after any; an hour back lengthens both.
TIMES = {"a minute": 67.0, "an hour": 3600.0, "three days": 3 * 86400.0, "an hour back": -3600.0}
IMAGES = [
    *cem_exam(("R CC", "R MLO")),
    header(ImageKind.FFDM, "L CC", exclusion="x", exclusion_text="takes no part"),
]


class ArrivalWalk(RuleBasedStateMachine):
    """One study: its images, its revisions, its workers."""

    new_ledger: ClassVar[Callable[[], Ledger]]

    def __init__(self) -> None:
        super().__init__()
        self.ledger = type(self).new_ledger()
        self.study = ModelStudy()
        self.looks: list[tuple[OpenStudy, int]] = []
        self.claims: list[tuple[Job, str]] = []  # every claim ever, void ones included
        self.dead: set[str] = set()

    @initialize()
    def the_first_image(self) -> None:
        self.an_image_comes_in(0, content="", patient="P-1")

    @rule(
        which=st.integers(0, len(IMAGES) - 1),
        content=st.sampled_from(["", "", "", "other bytes"]),
        patient=st.sampled_from(["P-1", "P-1", "P-1", "P-2"]),
    )
    def an_image_comes_in(self, which: int, content: str, patient: str) -> None:
        image = replace(IMAGES[which], patient_id=patient)
        said = receive(self.ledger, image, content=(content, patient))
        expected = self.study.receive(
            image.sop_instance_uid,
            sha256(image.sop_instance_uid, (content, patient)),
            foreign=patient != "P-1",
            counts=image.exclusion is None,
        )
        assert said.value == expected

    @rule()
    def the_assembler_looks(self) -> None:
        found, _ = self.ledger.studies.open_studies()
        assert len(found) == self.study.open
        self.looks += [(study, self.study.version) for study in found]

    @precondition(lambda self: self.looks)
    @rule(data=st.data(), hold=st.sampled_from([False, False, True]))
    def the_assembler_closes(self, data: st.DataObject, hold: bool) -> None:  # noqa: FBT001
        look, version = data.draw(st.sampled_from(self.looks))
        job_id = self.ledger.studies.close(look, HOLD if hold else READY)
        assert (job_id is not None) == (self.study.open and version == self.study.version)
        if job_id is not None:
            self.study.close(job_id, hold=hold)

    @precondition(lambda self: self.study.jobs)
    @rule(data=st.data())
    def a_worker_claims(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.study.jobs)))
        model, owner = self.study.jobs[job_id], f"worker {len(self.claims)}"
        job = self.ledger.jobs.claim(job_id, owner, LEASE_S)
        assert (job is not None) == model.claimable
        if job is not None:
            model.attempts, model.token = model.attempts + 1, model.token + 1
            model.state, model.lease, model.owner = "analysing", LEASE_S, owner
            assert (job.attempts, job.token) == (model.attempts, model.token)
            assert {one.sop_instance_uid for one, _ in self.ledger.jobs.inputs(job)} == model.inputs
            self.claims.append((job, owner))

    def _draw_claim(self, data: st.DataObject) -> tuple[Job, ModelJob, bool]:
        job, _ = data.draw(st.sampled_from(self.claims))
        model = self.study.jobs[job.id]
        return job, model, model.state == "analysing" and model.token == job.token

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def a_worker_says_that_it_lives(self, data: st.DataObject) -> None:
        job, model, holds = self._draw_claim(data)
        assert self.ledger.jobs.heartbeat(job, LEASE_S) == holds
        if holds:
            model.lease = LEASE_S

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def a_worker_dies(self, data: st.DataObject) -> None:
        """Only this host's dispatcher knows it; its zombie may still speak."""
        self.dead.add(data.draw(st.sampled_from(self.claims))[1])

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), ending=st.sampled_from(sorted(ENDINGS)))
    def a_worker_finishes(self, data: st.DataObject, ending: str) -> None:
        job, model, holds = self._draw_claim(data)
        results = [result_of(job, one) for one in RESULTS]
        if not holds:
            with pytest.raises(LeaseLost):
                self.ledger.jobs.finish(job, results, ENDINGS[ending])
            return
        self.ledger.jobs.finish(job, results, ENDINGS[ending])
        assert not model.stored
        model.state, model.code = ending, ENDINGS[ending].reason_code
        model.stored = f"{job.id} {job.token}"

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def a_worker_meets_a_fault(self, data: st.DataObject) -> None:
        job, model, holds = self._draw_claim(data)
        if not holds:
            with pytest.raises(LeaseLost):
                self.ledger.jobs.retry(job, "a fault")
            return
        self.ledger.jobs.retry(job, "a fault")
        model.state, model.pause, model.rung = "queued", RETRY_PAUSE_S * job.attempts, False

    @rule(how=st.sampled_from(sorted(TIMES)))
    def time_passes(self, how: str) -> None:
        let_pass(self.ledger.database, TIMES[how])
        self.study.pass_time(TIMES[how])

    @rule()
    def the_house_is_kept(self) -> None:
        """Within a minute nothing waits for a clock that was set back."""
        self.ledger.clock.set_right(LEASE_S)
        if self.study.open and self.study.age < -1:  # its last image came in the future
            self.study.version, self.study.age = self.study.version + 1, 0.0
        for job in self.study.jobs.values():
            job.lease = min(job.lease, LEASE_S)
            job.pause = 0 if job.pause > 100 else job.pause
            job.rung = False

    @rule()
    def the_dispatcher_sweeps(self) -> None:
        taken = self.ledger.jobs.take_back_leases(sorted(self.dead))
        for job_id, model in self.study.jobs.items():
            lost = model.state == "analysing" and (model.lease < 0 or model.owner in self.dead)
            assert (job_id in taken) == lost
            if lost:
                model.state, model.rung = "queued", False
        given_up = self.ledger.jobs.give_up_exhausted()
        for job_id, model in self.study.jobs.items():
            spent = model.state == "queued" and model.attempts > MAX_ATTEMPTS
            assert (job_id in given_up) == spent
            if spent:
                model.state, model.code = "failed", "worker_lost"

    @rule()
    def the_dispatcher_rings(self) -> None:
        """The queue may lose every message: SQL knows what must be rung for."""
        found = {hint.job_id for hint in self.ledger.jobs.claimable()}
        may = {key for key, model in self.study.jobs.items() if model.claimable}
        assert {key for key in may if not self.study.jobs[key].rung} <= found <= may
        for job_id in found:
            self.ledger.jobs.mark_hinted([job_id])
            self.study.jobs[job_id].rung = True

    @rule()
    def a_person_runs_the_exam_again(self) -> None:
        study, before = self.study, self.study.newest
        if study.open or before is None or before.state in {"queued", "analysing"}:
            with pytest.raises(LedgerError):
                self.ledger.revisions.rerun(STUDY, "a person")
            return
        job_id = self.ledger.revisions.rerun(STUDY, "a person")
        study.hold = ""
        if before.state in {"held", "unsuitable", "failed"} and not before.stored:
            assert study.jobs[job_id] is before
            before.state, before.code, before.attempts, before.pause = "queued", "", 0, 0
            before.rung = before.planned = False
        else:
            assert job_id not in study.jobs
            study.revision += 1
            study.jobs[job_id] = ModelJob(inputs=frozenset(study.kept))

    @invariant()
    def the_ledger_says_what_the_model_says(self) -> None:
        for row in rows(self.ledger, select(t.studies)):
            assert (row.state == "open", row.revision, row.hold_code or "") == (
                self.study.open, self.study.revision, self.study.hold,
            )  # fmt: skip
        for row in rows(self.ledger, select(t.jobs)):
            model = self.study.jobs[row.id]
            assert (row.state, row.reason_code, row.attempts, row.token) == (
                model.state, model.code, model.attempts, model.token,
            )  # fmt: skip
            # I2: whatever does not go on says why.
            assert row.reason or row.state not in {"held", "failed", "unsuitable", "withdrawn"}

    @invariant()
    def results_are_written_once(self) -> None:
        stored = {(row.job_id, row.sha256) for row in rows(self.ledger, select(t.artefacts))}
        assert stored == {
            (job_id, sha256(one.role, one.key, model.stored))
            for job_id, model in self.study.jobs.items()
            if model.stored
            for one in RESULTS
        }

    def teardown(self) -> None:
        audit(self.ledger.database)  # I7: the state is the fold of the events
        self.ledger.close()


def result_of(job: Job, one: Artefact) -> Artefact:
    """Each attempt gives other bytes; the UID is the job's."""
    made = artefact(one.role, one.key, f"{job.id} {job.token}")
    return replace(
        made, sop_instance_uid=uid(job.id, one.role, one.key) if one.sop_instance_uid else ""
    )
