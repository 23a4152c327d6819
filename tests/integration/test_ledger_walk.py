"""The whole life of an exam in random order, faults among it, on each of the databases."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import select

from dicom_node.domain.delivery import DeliveryEvent, Outcome, outcome_of
from dicom_node.domain.rejection import Reason
from dicom_node.errors import LedgerError
from dicom_node.store import tables as t
from dicom_node.store.deliveries import Parcel
from dicom_node.store.ledger import Ledger
from tests.headers import STUDY
from tests.integration.conftest import BOTH
from tests.integration.databases import empty, let_pass
from tests.integration.ledger_acts import PACS, READY, RESULTS, STORED, VAULT, claim, rows, send
from tests.integration.walk import LEASE_S, ArrivalWalk, result_of
from tests.integration.walk_model import ARRIVED, DAYS_3, TO_SEND, ModelJob, ModelParcel

DESTINATIONS = st.sampled_from(["pacs", "vault"])
NO_WAY = Outcome(event=DeliveryEvent.TRANSIENT, status=None, reason="cannot be reached")
LOST, REFUSED = 0x0112, 0x0110


class Walk(ArrivalWalk):
    """The same study with two destinations, one of which commits."""

    def __init__(self) -> None:
        super().__init__()
        self.received: dict[str, set[str]] = {}  # the destinations' own ledger: UID to hashes

    def _parcel(self, delivery_id: int) -> tuple[ModelJob, ModelParcel]:
        for job in self.study.jobs.values():
            if delivery_id in job.parcels:
                return job, job.parcels[delivery_id]
        raise AssertionError(delivery_id)

    @rule()
    def deliveries_are_planned(self) -> None:
        self.ledger.deliveries.plan([PACS, VAULT])
        for job in self.study.jobs.values():
            if job.state in {"analysed", "unsuitable", "failed"} and not job.planned:
                job.planned = True
                self._take_over_parcels()
                if not job.stored:
                    job.settle()

    def _take_over_parcels(self) -> None:
        for row in rows(self.ledger, select(t.deliveries)):
            parcels = self.study.jobs[row.job_id].parcels
            parcels.setdefault(row.id, ModelParcel(row.destination))

    def _arrives(self, parcel: Parcel) -> None:
        self.received.setdefault(parcel.sop_instance_uid, set()).add(parcel.sha256)

    def _due(self, destination: str) -> list[Parcel]:
        due = self.ledger.deliveries.due(destination)
        self.study.cancel_outdated(destination)
        assert all(self._parcel(one.delivery_id)[1].state in TO_SEND for one in due)
        return due

    @rule(destination=DESTINATIONS, status=st.sampled_from([0, 0, 0xA700, 0xA900, None]))
    def an_object_is_sent(self, destination: str, status: int | None) -> None:
        for parcel in self._due(destination)[:1]:
            assert self.ledger.deliveries.begin(parcel)
            if status in {0, None}:
                self._arrives(parcel)
            instead = ("sr",) if parcel.role == "seg" and status == 0xA900 else ()
            self.ledger.deliveries.end(parcel, replace(outcome_of(status), instead=instead))
            self._take_over_parcels()
            job, model = self._parcel(parcel.delivery_id)
            model.state = self._after(model, status, replaced=bool(instead))
            job.settle()

    @staticmethod
    def _after(model: ModelParcel, status: int | None, *, replaced: bool) -> str:
        """Where an attempt leads: a refusal counts twice as passing, and time runs out."""
        if status == 0:
            return "accepted"
        refused = status == 0xA900
        final = model.age >= DAYS_3 or (refused and model.refusals >= 2)
        model.refusals += refused and model.refusals < 2
        if final:
            return "replaced" if replaced else "refused"
        return "unknown" if status is None else "waiting"

    @rule(destination=DESTINATIONS)
    def the_node_dies_while_it_sends(self, destination: str) -> None:
        for parcel in self._due(destination)[:1]:
            self.ledger.deliveries.begin(parcel)
            self._arrives(parcel)
            self._parcel(parcel.delivery_id)[1].state = "sent"

    @rule(destination=DESTINATIONS)
    def a_destination_cannot_be_reached(self, destination: str) -> None:
        due = self._due(destination)
        self.ledger.deliveries.postpone(due, NO_WAY)
        for parcel in due:
            job, model = self._parcel(parcel.delivery_id)
            kept = "waiting" if model.state == "waiting" else "unknown"
            model.state = "refused" if model.age >= DAYS_3 else kept
            job.settle()

    @rule(reason=st.sampled_from([None, None, LOST, REFUSED]))
    def the_vault_reports(self, reason: int | None) -> None:
        for request in self.ledger.commitments.due("vault"):
            uids = {sop for _, sop in request.references}
            failed = {} if reason is None else dict.fromkeys(uids, reason)
            self.ledger.proofs.confirm(request.job_id, "vault", uids - set(failed), failed)
            job = self.study.jobs[request.job_id]
            for parcel in job.parcels.values():
                if (parcel.destination, parcel.state) == ("vault", "accepted"):
                    self._report(parcel, reason)
            job.settle()

    @staticmethod
    def _report(parcel: ModelParcel, reason: int | None) -> None:
        parcel.state = "committed" if reason is None else "waiting"
        if reason == REFUSED:
            parcel.refusals += 1
            parcel.state = "refused" if parcel.refusals >= 3 else "waiting"

    @precondition(lambda self: self.study.jobs)
    @rule(data=st.data())
    def a_person_sends_again(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.study.jobs)))
        job = self.study.jobs[job_id]
        if job.state == "withdrawn":
            with pytest.raises(LedgerError, match="withdrawn"):
                self.ledger.deliveries.resend(job_id, None, "a person")
            return
        assert self.ledger.deliveries.resend(job_id, None, "a person") == len(job.parcels)
        ended = [one for one in job.parcels.values() if one.state not in TO_SEND]
        for parcel in ended:
            parcel.state, parcel.refusals, parcel.age = "waiting", 0, 0.0
        if ended:
            job.settle()

    @rule()
    def a_person_takes_the_results_back(self) -> None:
        newest = self.study.newest
        with_results = [job for job in self.study.jobs.values() if job.stored]
        late = [self._to_cancel(job) for job in with_results]
        places = [{one.destination for one in job.parcels.values()} for job in with_results]
        fresh = any(
            job.state != "withdrawn" or place - job.noted or keys
            for job, place, keys in zip(with_results, places, late, strict=True)
        )
        if newest is None or newest.state in {"queued", "analysing"} or not fresh:
            with pytest.raises(LedgerError):
                self.ledger.withdrawals.withdraw(STUDY, Reason.QUALITY, "", "a person")
            return
        self.ledger.withdrawals.withdraw(STUDY, Reason.QUALITY, "", "a person")
        for job, place, keys in zip(with_results, places, late, strict=True):
            job.cancel(keys)
            job.state, job.code = "withdrawn", ""
            job.noted |= place

    @staticmethod
    def _to_cancel(job: ModelJob) -> list[int]:
        free = {"waiting", "unknown"}
        return [key for key, parcel in job.parcels.items() if parcel.state in free]

    @invariant()
    def the_deliveries_are_where_the_model_has_them(self) -> None:
        states = {row.id: row.state for row in rows(self.ledger, select(t.deliveries))}
        assert states == {
            key: parcel.state
            for job in self.study.jobs.values()
            for key, parcel in job.parcels.items()
        }

    def teardown(self) -> None:
        if self.study.kept:
            self._faults_stop()
            self._every_exam_has_come_to_its_end()
            self._every_image_is_accounted_for()
        super().teardown()

    def _faults_stop(self) -> None:
        """Ten rounds of a quarter of an hour in which everything goes well."""
        ledger = self.ledger
        for _ in range(10):
            let_pass(ledger.database, 1200.0)
            ledger.clock.set_right(LEASE_S)
            ledger.jobs.take_back_leases()
            ledger.jobs.give_up_exhausted()
            for study in ledger.studies.open_studies()[0]:
                ledger.studies.close(study, READY)
            for hint in ledger.jobs.claimable():
                job = claim(ledger, hint.job_id)
                ledger.jobs.finish(job, [result_of(job, one) for one in RESULTS], STORED)
            ledger.deliveries.plan([PACS, VAULT])
            self._everything_due_is_sent("pacs")
            self._everything_due_is_sent("vault")
            for request in ledger.commitments.due("vault"):
                uids = {sop for _, sop in request.references}
                ledger.proofs.confirm(request.job_id, "vault", uids, {})

    def _everything_due_is_sent(self, destination: str) -> None:
        while due := self.ledger.deliveries.due(destination):
            for parcel in due:
                send(self.ledger, parcel, outcome_of(0))
                self._arrives(parcel)

    def _every_exam_has_come_to_its_end(self) -> None:
        """I5: nothing is under way; I3: one UID, one content; I4: what is said to be there is."""
        for row in rows(self.ledger, select(t.jobs)):
            assert row.state not in {"queued", "analysing", "analysed"}, row
            assert row.reason or row.state in {"delivered", "confirmed"}, row
        d, a = t.deliveries, t.artefacts
        query = select(d, a.c.sop_instance_uid).join(a, a.c.id == d.c.artefact_id)
        for row in rows(self.ledger, query):
            assert row.state not in TO_SEND, row
            assert row.state != "accepted" or not row.needs_commitment, row
            assert row.state not in ARRIVED or row.sop_instance_uid in self.received, row
        assert all(len(contents) == 1 for contents in self.received.values())

    def _every_image_is_accounted_for(self) -> None:
        """I2: it went into the newest analysis, or the ledger says why not."""
        newest = self.ledger.revisions.newest_job(STUDY)
        of_job = select(t.job_inputs.c.instance_id).where(t.job_inputs.c.job_id == newest)
        used = {row.instance_id for row in rows(self.ledger, of_job)}
        for row in rows(self.ledger, select(t.instances)):
            assert row.id in used or row.reason, row


@pytest.fixture(params=BOTH)
def new_ledger(request: pytest.FixtureRequest) -> Iterator[Callable[[], Ledger]]:
    """Makes an empty ledger for each walk."""
    if request.param == "postgresql":
        url = request.getfixturevalue("migrated_postgres")
        yield lambda: _emptied(Ledger(url))
        return
    # In memory where there is such a folder: a walk that waits for the disk is not a better one.
    memory = Path("/dev/shm")  # noqa: S108 - a fresh folder in it is used
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield lambda: _copied(
            request.getfixturevalue("migrated_sqlite"), Path(folder) / "ledger.db"
        )


def _emptied(ledger: Ledger) -> Ledger:
    empty(ledger.database)
    return ledger


def _copied(migrated: Path, file: Path) -> Ledger:
    for leftover in file.parent.iterdir():
        leftover.unlink()
    shutil.copy(migrated, file)
    return Ledger(f"sqlite:///{file}")


def _walk(new_ledger: Callable[[], Ledger], examples: int, steps: int) -> None:
    Walk.new_ledger = staticmethod(new_ledger)
    run_state_machine_as_test(
        Walk,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_walk_leads_the_ledger_astray(new_ledger: Callable[[], Ledger]) -> None:
    _walk(new_ledger, examples=8, steps=40)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_walk_of_many_leads_the_ledger_astray(new_ledger: Callable[[], Ledger]) -> None:
    _walk(new_ledger, examples=100, steps=50)
