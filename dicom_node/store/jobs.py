"""The ledger's jobs: claimed by lease, changed only under the token of the claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select, update

from dicom_node.domain.instance import InstanceHeader
from dicom_node.domain.job import MAX_ATTEMPTS, Job, JobEvent, JobState, advance
from dicom_node.errors import LeaseLost, LedgerError
from dicom_node.store import events
from dicom_node.store import tables as t
from dicom_node.store.database import Database, DatabaseNow, insert_if_absent, now

HINT_AGAIN_S = 5.0  # a message may be lost with the queue: ring again until somebody claims
RETRY_PAUSE_S = 10.0
_QUEUED = t.jobs.c.state == JobState.QUEUED.value


@dataclass(frozen=True)
class Hint:
    """A job that a worker may claim, and whether the queue was told of it before."""

    job_id: str
    rung_before: bool


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """One result whose bytes are in the archive."""

    role: str
    key: str
    media_type: str
    sop_class_uid: str
    sop_instance_uid: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an analysis ended: the event, its reason, and where the time went."""

    event: JobEvent
    reason_code: str = ""
    reason: str = ""
    bundle: str = ""
    seconds: Mapping[str, float] | None = None


class JobLedger:
    """What dispatching and the workers read and write."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claimable(self, limit: int = 100) -> list[Hint]:
        """Jobs that a worker may claim now and that were not hinted just now, oldest first."""
        with self._database.read() as connection:
            at = now(connection)
            rows = connection.execute(
                select(t.jobs.c.id, t.jobs.c.hinted_at)
                .where(
                    open_to_claim(at),
                    or_(t.jobs.c.hinted_at.is_(None), t.jobs.c.hinted_at < at - HINT_AGAIN_S),
                )
                .order_by(t.jobs.c.created_at)
                .limit(limit)
            )
            return [Hint(str(row.id), row.hinted_at is not None) for row in rows]

    def mark_hinted(self, job_ids: Sequence[str]) -> None:
        """Remember that the queue has messages for these jobs."""
        rung = update(t.jobs).where(t.jobs.c.id.in_(job_ids))
        with self._database.write() as connection:
            connection.execute(rung.values(hinted_at=now(connection)))

    def claim(self, job_id: str, owner: str, lease_s: float) -> Job | None:
        """Take the lease of a job, or ``None`` when it is not to be had.

        ``attempts`` is counted here, so that an exam that kills its worker runs out of them.
        """
        with self._database.write() as connection:
            at = now(connection)
            row = connection.execute(
                select(t.jobs).where(t.jobs.c.id == job_id, open_to_claim(at)).with_for_update()
            ).one_or_none()
            if row is None:
                return None
            job = _claimed(connection, row)
            change_job(
                connection,
                row,
                JobEvent.CLAIMED,
                at,
                actor=owner,
                reason="" if row.state == JobState.QUEUED.value else "the lease had run out",
                attempts=job.attempts,
                token=job.token,
                lease_owner=owner,
                lease_until=at + lease_s,
            )
            return job

    def heartbeat(self, job: Job, lease_s: float) -> bool:
        """Lengthen the lease; ``False`` when it is somebody else's now."""
        with self._database.write() as connection:
            result = connection.execute(
                update(t.jobs).where(_held(job)).values(lease_until=now(connection) + lease_s)
            )
            return result.rowcount == 1

    def inputs(self, job: Job) -> list[tuple[InstanceHeader, str]]:
        """Header and hash of each instance that the job shall read."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.instances.c.header, t.instances.c.sha256)
                .join(t.job_inputs)
                .where(t.job_inputs.c.job_id == job.id)
                .order_by(t.instances.c.sop_instance_uid)
            )
            return [(InstanceHeader.from_json(row.header), row.sha256) for row in rows]

    def finish(self, job: Job, artefacts: Sequence[Artefact], ending: Ending) -> None:
        """Write the results once and advance the job, in one transaction under the job's token.

        Raises
        ------
        LeaseLost
            When another worker holds the job; nothing is written then.

        """
        with self._database.write() as connection:
            at = now(connection)
            row = _locked(connection, job)
            for artefact in artefacts:
                insert_if_absent(
                    connection, t.artefacts, job_id=job.id, created_at=at, **vars(artefact)
                )
            change_job(
                connection,
                row,
                ending.event,
                at,
                actor=row.lease_owner,
                reason=ending.reason,
                reason_code=ending.reason_code,
                bundle=ending.bundle,
                seconds=dict(ending.seconds or {}),
                lease_until=None,
            )

    def retry(self, job: Job, reason: str) -> None:
        """Put a job back after a passing fault."""
        with self._database.write() as connection:
            at = now(connection)
            row = _locked(connection, job)
            change_job(
                connection,
                row,
                JobEvent.RETRY,
                at,
                actor=row.lease_owner,
                reason=reason,
                next_at=at + RETRY_PAUSE_S * job.attempts,
                hinted_at=None,
                lease_until=None,
            )

    def owners(self) -> list[str]:
        """Owners of all leases that run."""
        with self._database.read() as connection:
            query = select(t.jobs.c.lease_owner).where(t.jobs.c.state == JobState.ANALYSING.value)
            return [str(owner) for owner in connection.execute(query).scalars()]

    def take_back_leases(self, dead_owners: Sequence[str] = ()) -> list[str]:
        """Queue jobs whose lease ran out or whose owner is known to be dead; their ids."""
        dead = or_(t.jobs.c.lease_until < DatabaseNow(), t.jobs.c.lease_owner.in_(dead_owners))
        gone = and_(t.jobs.c.state == JobState.ANALYSING.value, dead)
        if not self._database.finds(gone):
            return []
        with self._database.write() as connection:
            at = now(connection)
            rows = connection.execute(
                select(t.jobs).where(gone).with_for_update(skip_locked=True)
            ).all()
            for row in rows:
                lost = f"worker {row.lease_owner} went silent"
                change_job(
                    connection, row, JobEvent.LEASE_LOST, at, actor="dispatch", reason=lost,
                    lease_until=None, hinted_at=None,
                )  # fmt: skip
            return [row.id for row in rows]

    def give_up_exhausted(self) -> list[str]:
        """Fail queued jobs that used up every attempt, the one for a failure report included."""
        spent = and_(_QUEUED, t.jobs.c.attempts > MAX_ATTEMPTS)
        if not self._database.finds(spent):
            return []
        with self._database.write() as connection:
            at = now(connection)
            rows = connection.execute(
                select(t.jobs).where(spent).with_for_update(skip_locked=True)
            ).all()
            for row in rows:
                reason = f"{row.attempts} attempts failed, no report could be made; {row.reason}"
                change_job(
                    connection, row, JobEvent.GAVE_UP, at, actor="dispatch", reason=reason,
                    reason_code="worker_lost",
                )  # fmt: skip
            return [row.id for row in rows]


def open_to_claim(at: float) -> ColumnElement[bool]:
    """Whether a worker may claim: attempts are left (one more makes the failure report)."""
    waiting = and_(_QUEUED, or_(t.jobs.c.next_at.is_(None), t.jobs.c.next_at <= at))
    expired = and_(t.jobs.c.state == JobState.ANALYSING.value, t.jobs.c.lease_until < at)
    return and_(or_(waiting, expired), t.jobs.c.attempts <= MAX_ATTEMPTS)


def _held(job: Job) -> ColumnElement[bool]:
    return and_(
        t.jobs.c.id == job.id,
        t.jobs.c.token == job.token,
        t.jobs.c.state == JobState.ANALYSING.value,
    )


def _locked(connection: Connection, job: Job) -> Row[tuple[object, ...]]:
    row = connection.execute(select(t.jobs).where(_held(job)).with_for_update()).one_or_none()
    if row is None:
        raise LeaseLost(f"job {job.id}: token {job.token} is void, another worker has the job")
    return row


def change_job(
    connection: Connection,
    row: Row[tuple[object, ...]],
    event: JobEvent,
    at: float,
    *,
    actor: str,
    reason: str | None = None,
    **values: object,
) -> None:
    """Advance one job under its state and token, with its event row.

    Without a ``reason`` the job keeps the one it has: a partial exam stays partial when delivered.
    """
    state = advance(JobState(row.state), event)
    values |= {"state": state.value, "updated_at": at}
    if reason is not None:
        values["reason"] = reason
    result = connection.execute(
        update(t.jobs)
        .where(t.jobs.c.id == row.id, t.jobs.c.state == row.state, t.jobs.c.token == row.token)
        .values(**values)
    )
    if result.rowcount != 1:
        raise LedgerError(f"job {row.id}: changed by somebody else at the same moment")
    events.record(
        connection,
        at=at,
        study_id=row.study_id,
        subject="job",
        subject_id=row.id,
        event=event.value,
        from_state=row.state,
        to_state=state.value,
        reason=reason or "",
        actor=actor,
    )


def _claimed(connection: Connection, row: Row[tuple[object, ...]]) -> Job:
    """A job as its next holder gets it; the reason is that of the attempt before."""
    uid = connection.execute(
        select(t.studies.c.study_instance_uid).where(t.studies.c.id == row.study_id)
    ).scalar_one()
    return Job(
        id=row.id,
        study_instance_uid=uid,
        revision=row.revision,
        input_hash=row.input_hash,
        state=JobState.ANALYSING,
        reason=row.reason,
        attempts=row.attempts + 1,
        token=row.token + 1,
        created_at=row.created_at,
        assessments=row.assessments,
    )
