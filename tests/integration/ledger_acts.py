"""What the stages do with the ledger, as single acts for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, select

from dicom_node.domain.association import Entry
from dicom_node.domain.delivery import Outcome
from dicom_node.domain.instance import InstanceHeader
from dicom_node.domain.job import Job, JobEvent, JobState
from dicom_node.domain.study import Judgement, Verdict
from dicom_node.store import tables as t
from dicom_node.store.deliveries import Parcel, Plan
from dicom_node.store.intake import Intake, Received
from dicom_node.store.jobs import Artefact, Ending
from dicom_node.store.ledger import Ledger
from dicom_node.store.studies import OpenStudy
from tests.headers import STUDY, cem_exam, uid

READY = Judgement(Verdict.READY, "all expected views are paired")
IGNORE = Judgement(Verdict.IGNORE, "no contrast-enhanced mammogram in the study")
HOLD = Judgement(Verdict.HOLD, "incomplete after 900 s")
STORED = Ending(event=JobEvent.RESULTS_STORED, bundle="FAPS 0", seconds={"segment": 1.5})
UNSUITABLE = Ending(event=JobEvent.FOUND_UNSUITABLE, reason_code="no_cem_pair", reason="no pair")
FAILED = Ending(event=JobEvent.GAVE_UP, reason_code="pixel_decode", reason="cannot be decoded")
PACS = Plan(name="pacs", roles=("seg", "sr"), needs_commitment=False)
VAULT = Plan(name="vault", roles=("sr",), needs_commitment=True)
LEASE_S = 60.0
EXPIRED = -1.0  # a lease that has run out as soon as it is taken


def sha256(*parts: object) -> str:
    """The hash of some test content."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def receive(
    ledger: Ledger,
    header: InstanceHeader,
    *,
    content: object = "",
    association_id: Entry | None = None,
) -> Intake:
    """One image comes in; another ``content`` is another file under the same UID."""
    return ledger.intake.record_instance(
        Received(
            header=header,
            sha256=sha256(header.sop_instance_uid, content),
            size=1000,
            association_id=association_id,
            calling_ae="MODALITY",
        )
    )


def receive_all(ledger: Ledger, headers: Sequence[InstanceHeader] = ()) -> list[InstanceHeader]:
    """A whole exam comes in, one of two views unless others are given."""
    images = list(headers) or cem_exam(("R CC", "R MLO"))
    for header in images:
        receive(ledger, header)
    return images


def open_study(ledger: Ledger) -> OpenStudy:
    """The one study that waits."""
    (study,), _ = ledger.studies.open_studies()
    return study


def close(ledger: Ledger, judgement: Judgement = READY) -> str | None:
    """The one open study is closed."""
    return ledger.studies.close(open_study(ledger), judgement)


def new_job(ledger: Ledger, headers: Sequence[InstanceHeader] = ()) -> str:
    """An exam comes in and becomes a job; its id."""
    receive_all(ledger, headers)
    job_id = close(ledger)
    assert job_id is not None
    return job_id


def claim(ledger: Ledger, job_id: str, lease_s: float = LEASE_S, owner: str = "worker") -> Job:
    """A worker takes a job that is to be had."""
    job = ledger.jobs.claim(job_id, owner, lease_s)
    assert job is not None
    return job


def artefact(role: str, key: str = "exam", content: object = "") -> Artefact:
    """One result; previews are no DICOM objects."""
    dicom = role in {"seg", "sr"}
    return Artefact(
        role=role,
        key=key,
        media_type="application/dicom" if dicom else "image/png",
        sop_class_uid=f"1.2.840.{len(role)}" if dicom else "",
        sop_instance_uid=uid(role, key, content) if dicom else "",
        sha256=sha256(role, key, content),
        size=100,
    )


RESULTS = (artefact("seg", "R-CC"), artefact("sr"), artefact("preview", "R-CC"))


def analysed(ledger: Ledger, ending: Ending = STORED) -> str:
    """An exam comes in and is analysed to the end; the job's id."""
    job_id = new_job(ledger)
    ledger.jobs.finish(claim(ledger, job_id), RESULTS, ending)
    return job_id


def parcels(ledger: Ledger, *plans: Plan) -> list[Parcel]:
    """An exam is analysed and planned; what is due at the first destination."""
    analysed(ledger)
    ledger.deliveries.plan(plans)
    return ledger.deliveries.due(plans[0].name)


def rows(ledger: Ledger, query: Select[Any]) -> list[Any]:
    """What a query finds."""
    with ledger.database.read() as connection:
        return list(connection.execute(query).all())


def job_row(ledger: Ledger, job_id: str) -> Any:
    """A job as it stands in the table."""
    (row,) = rows(ledger, select(t.jobs).where(t.jobs.c.id == job_id))
    return row


def job_state(ledger: Ledger, job_id: str) -> JobState:
    """Where a job is."""
    return JobState(job_row(ledger, job_id).state)


def study_row(ledger: Ledger, study_instance_uid: str = STUDY) -> Any:
    """A study as it stands in the table."""
    uid_is = t.studies.c.study_instance_uid == study_instance_uid
    (row,) = rows(ledger, select(t.studies).where(uid_is))
    return row


def delivery_states(ledger: Ledger, destination: str = "pacs") -> list[str]:
    """How far each object has come at a destination."""
    d = t.deliveries
    found = rows(ledger, select(d.c.state).where(d.c.destination == destination).order_by(d.c.id))
    return [row.state for row in found]


def claimable(ledger: Ledger, limit: int = 100) -> list[str]:
    """Ids of the jobs that may be claimed and should be rung for."""
    return [hint.job_id for hint in ledger.jobs.claimable(limit)]


def send(ledger: Ledger, parcel: Parcel, outcome: Outcome) -> None:
    """One attempt to deliver, with what came of it."""
    ledger.deliveries.begin(parcel)
    ledger.deliveries.end(parcel, outcome)
