"""A job advanced to where its deliveries are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, select

from dicom_node.domain.delivery import ARRIVED, CONFIRMED, PENDING, DeliveryState, proven
from dicom_node.domain.job import JobEvent, JobState
from dicom_node.store import tables as t
from dicom_node.store.jobs import change_job

REFUSED = "refused"  # reason code of a job that failed at a destination, not in its analysis


def settle_job(connection: Connection, job_id: str, at: float) -> None:
    """Deliver, confirm, fail or send back a job by the states of its deliveries.

    Call in the transaction that changed one of them. A refusal that is final fails the job once
    nothing else of it is under way: an exam must not look as if it were still being sent.
    """
    # Locked before its deliveries are read: of two that end the last ones at the same moment, the
    # second must see what the first has done.
    job = _job(connection, job_id)
    d = t.deliveries
    rows = connection.execute(
        select(
            d.c.state, d.c.needs_commitment, d.c.needs_sight, d.c.proof, d.c.destination, d.c.reason
        )
        .where(d.c.job_id == job_id)
        .order_by(d.c.id)
    ).all()
    # What was replaced counts by what went in its place: those are deliveries of the same job.
    rows = [row for row in rows if row.state != DeliveryState.REPLACED.value]
    states = [DeliveryState(row.state) for row in rows]
    arrived = all(state in ARRIVED for state in states)
    under_way = any(state in PENDING for state in states)
    if not arrived and (job.state in _AFTER_DELIVERY or (under_way and _was_refused(job))):
        change_job(connection, job, JobEvent.SENT_BACK, at, actor="deliver", reason_code="")
        job = _job(connection, job_id)
    if job.state == JobState.ANALYSED.value and arrived:
        change_job(connection, job, JobEvent.ALL_DELIVERED, at, actor="deliver")
    elif job.state == JobState.ANALYSED.value and not under_way:
        refusals = [row for row in rows if row.state == DeliveryState.REFUSED.value]
        words = {f"{row.destination} refused a result: {row.reason}" for row in refusals}
        change_job(
            connection, job, JobEvent.GAVE_UP, at, actor="deliver",
            reason="; ".join(sorted(words)), reason_code=REFUSED,
        )  # fmt: skip
    job = _job(connection, job_id)
    asked = [row for row in rows if row.needs_commitment or row.needs_sight or row.proof]
    if job.state == JobState.DELIVERED.value and asked and all(_proven(row) for row in asked):
        change_job(connection, job, JobEvent.ALL_CONFIRMED, at, actor="confirm")


def settle_jobs(connection: Connection, job_ids: Iterable[str], at: float) -> None:
    """Settle several, always in the same order: two that do so must not wait for each other.

    Call when no further delivery will be locked in this transaction.
    """
    for job_id in sorted(set(job_ids)):
        settle_job(connection, job_id, at)


def _proven(row: Any) -> bool:  # noqa: ANN401 - a row of the table
    """Whether the highest rung that can be had was reached; accepted alone proves nothing."""
    state = DeliveryState(row.state)
    if row.needs_commitment or row.needs_sight:
        return proven(state, commitment=bool(row.needs_commitment), sight=bool(row.needs_sight))
    return state in CONFIRMED  # the ladder ended early: what stands counts


def _job(connection: Connection, job_id: str) -> Row[tuple[object, ...]]:
    return connection.execute(select(t.jobs).where(t.jobs.c.id == job_id).with_for_update()).one()


def _was_refused(job: Row[tuple[object, ...]]) -> bool:
    return bool(job.state == JobState.FAILED.value and job.reason_code == REFUSED)


_AFTER_DELIVERY = {JobState.DELIVERED.value, JobState.CONFIRMED.value}
