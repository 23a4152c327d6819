"""Which results of which exams go to which destination, written down as deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Row, and_, select, update

from dicom_node.domain.delivery import DeliveryState
from dicom_node.domain.job import JobState
from dicom_node.store import tables as t
from dicom_node.store.database import insert_if_absent, now
from dicom_node.store.settle import settle_job

CLINICAL = "clinical"  # what an AE title of ours is for unless the settings say otherwise
# Jobs in these states have results to send, when they have results at all.
_FINISHED = [state.value for state in (JobState.ANALYSED, JobState.UNSUITABLE, JobState.FAILED)]
UNPLANNED = and_(t.jobs.c.planned_at.is_(None), t.jobs.c.state.in_(_FINISHED))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A destination as the ledger needs to know it: what it gets, and what proves arrival."""

    name: str
    roles: tuple[str, ...]
    needs_commitment: bool
    needs_sight: bool = False
    profiles: tuple[str, ...] = (CLINICAL,)
    senders: tuple[str, ...] = ()
    # What those of our AE titles are for that are not for patients' care.
    titles: Mapping[str, str] = field(default_factory=dict)

    def takes(self, calling_ae: str, called_ae: str) -> bool:
        """Whether results of an exam that came so go there."""
        wanted = self.titles.get(called_ae, CLINICAL) in self.profiles
        return wanted and (not self.senders or calling_ae in self.senders)


def plan(connection: Connection, plans: Sequence[Plan]) -> int:
    """Make deliveries of every finished job's DICOM results; the number of jobs planned."""
    at = now(connection)
    rows = connection.execute(
        select(t.jobs.c.id, t.studies.c.calling_ae, t.studies.c.called_ae)
        .join(t.studies, t.studies.c.id == t.jobs.c.study_id)
        .where(UNPLANNED)
        .with_for_update(of=t.jobs, skip_locked=True)
    ).all()
    for row in rows:
        mine = [one for one in plans if one.takes(row.calling_ae, row.called_ae)]
        _plan_job(connection, row, mine, at)
    return len(rows)


def _plan_job(
    connection: Connection, job: Row[str, str, str], plans: Sequence[Plan], at: float
) -> None:
    artefacts = connection.execute(
        select(t.artefacts)
        .where(t.artefacts.c.job_id == job.id, t.artefacts.c.sop_instance_uid != "")
        .order_by(t.artefacts.c.id)
    ).all()
    for destination in plans:
        for artefact in artefacts:
            if artefact.role in destination.roles:
                insert_if_absent(
                    connection,
                    t.deliveries,
                    artefact_id=artefact.id,
                    job_id=job.id,
                    destination=destination.name,
                    needs_commitment=int(destination.needs_commitment),
                    needs_sight=int(destination.needs_sight),
                    state=DeliveryState.WAITING.value,
                    next_at=at,
                    created_at=at,
                    updated_at=at,
                )
    connection.execute(update(t.jobs).where(t.jobs.c.id == job.id).values(planned_at=at))
    if plans:
        # Where no destination takes any of them, such as SEG alone of a negative exam, it is done.
        settle_job(connection, str(job.id), at)
