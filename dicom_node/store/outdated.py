"""Results that count no more: which objects of theirs must not be sent, and what ends them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Row, Select, and_, func, or_, select

from dicom_node.domain.delivery import PENDING, DeliveryEvent, DeliveryState
from dicom_node.domain.job import JobEvent, JobState
from dicom_node.domain.rejection import REJECTION
from dicom_node.errors import LedgerError
from dicom_node.store import tables as t
from dicom_node.store.change import change_delivery
from dicom_node.store.jobs import change_job
from dicom_node.store.settle import REFUSED

# What left no association yet, or came back from it: another process may end it at any time.
NOT_ON_ITS_WAY = PENDING - {DeliveryState.SENT}
_WITH_RESULTS = (
    JobState.ANALYSED, JobState.DELIVERED, JobState.CONFIRMED, JobState.WITHDRAWN,
)  # fmt: skip
_MAY_BE_THERE = {DeliveryState.SENT.value, DeliveryState.UNKNOWN.value}


def takes_the_place(newer: FromClause) -> ColumnElement[bool]:
    """Whether a planned job stands for the revisions before it.

    A report that says that an exam could not be analysed is no reason to lose the results of the
    analysis before; a refusal by a destination is one, for there are newer results.
    """
    refused = and_(
        newer.c.state == JobState.FAILED.value,
        newer.c.reason_code == REFUSED,
    )
    analysed = newer.c.state.in_([state.value for state in _WITH_RESULTS])
    return and_(newer.c.planned_at.is_not(None), or_(analysed, refused))


def any_outdated(connection: Connection, destination: str) -> bool:
    """Whether there is anything to cancel at a destination."""
    query = _outdated(PENDING).where(t.deliveries.c.destination == destination)
    return connection.execute(query.limit(1)).first() is not None


def cancel_outdated(
    connection: Connection,
    at: float,
    which: ColumnElement[bool],
    *,
    actor: str,
    states: Collection[DeliveryState] = PENDING,
) -> int:
    """End deliveries out of date among ``which``, and what they mean for their job; how many.

    An object that is on its way right now is none of them: ``states`` says how sure the caller is
    of that. What may have arrived keeps its ``reached_at``: a rejection note must name it.
    """
    query = _outdated(states).where(which).with_for_update(of=t.deliveries)
    rows = connection.execute(query).all()
    jobs: dict[str, str] = {}
    for row in rows:
        newer = f"revision {row.newer} took its place" if row.newer else "it is withdrawn"
        why = row.words or newer
        reached = at if row.reached_at is None and row.state in _MAY_BE_THERE else row.reached_at
        change_delivery(
            connection, row, DeliveryEvent.CANCEL, at, actor=actor, reason=why, reached_at=reached
        )
        jobs[row.job_id] = why
    for job_id, why in sorted(jobs.items()):
        withdraw_job(connection, job_id, at, why, actor)
    return len(rows)


def withdraw_job(connection: Connection, job_id: str, at: float, why: str, actor: str) -> bool:
    """End a job whose results count no more; whether it was not ended so before."""
    job = connection.execute(select(t.jobs).where(t.jobs.c.id == job_id).with_for_update()).one()
    if job.state == JobState.WITHDRAWN.value:
        return False
    change_job(
        connection, job, JobEvent.WITHDRAWN, at, actor=actor, reason=f"withdrawn: {why}",
        reason_code="",
    )  # fmt: skip
    return True


def to_resend(
    connection: Connection, job_id: str, destination: str | None
) -> Sequence[Row[tuple[object, ...]]]:
    """Deliveries of a job that a person may start again; a ``LedgerError`` when it is withdrawn."""
    d, j = t.deliveries, t.jobs
    job = connection.execute(select(j).where(j.c.id == job_id)).one()
    is_note = t.artefacts.c.role == REJECTION
    siblings = select(j.c.id).where(j.c.study_id == job.study_id).scalar_subquery()
    refused_note = and_(d.c.job_id.in_(siblings), is_note, d.c.state == DeliveryState.REFUSED.value)
    withdrawn = job.state == JobState.WITHDRAWN.value
    own = and_(d.c.job_id == job_id, is_note) if withdrawn else d.c.job_id == job_id
    query = (
        select(d)
        .join(t.artefacts, t.artefacts.c.id == d.c.artefact_id)
        .where(or_(own, refused_note), d.c.destination == (destination or d.c.destination))
        .order_by(d.c.id)
    )
    rows = connection.execute(query.with_for_update(of=d)).all()
    if withdrawn and not rows:
        raise LedgerError(f"its results were withdrawn ({job.reason}); a rerun makes new ones")
    return rows


def _outdated(states: Collection[DeliveryState]) -> Select[Any]:
    """Deliveries in one of ``states`` that newer results, or a withdrawal, have made void.

    A note on withdrawn results is never void itself.
    """
    d, j, w, k = t.deliveries, t.jobs, t.withdrawals, t.jobs.alias("newer")
    newer = (
        select(func.max(k.c.revision))
        .where(k.c.study_id == j.c.study_id, k.c.revision > j.c.revision, takes_the_place(k))
        .correlate(j)
        .scalar_subquery()
    )
    return (
        select(d, newer.label("newer"), w.c.words)
        .join(j, j.c.id == d.c.job_id)
        .join(t.artefacts, t.artefacts.c.id == d.c.artefact_id)
        .outerjoin(w, and_(w.c.job_id == d.c.job_id, w.c.destination == d.c.destination))
        .where(
            t.artefacts.c.role != REJECTION,
            d.c.state.in_([state.value for state in states]),
            # The job's own state: its deliveries may be planned while a person withdraws it.
            or_(w.c.id.is_not(None), newer.is_not(None), j.c.state == JobState.WITHDRAWN.value),
        )
        .order_by(d.c.id)
    )
