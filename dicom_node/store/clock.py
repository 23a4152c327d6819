"""Moments that a clock set back has left in the future, brought back to now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Update, case, update

from dicom_node.domain.delivery import BACKOFF_MAX_S, TO_SEND
from dicom_node.domain.job import MAX_ATTEMPTS, JobState
from dicom_node.domain.study import StudyState
from dicom_node.store import tables as t
from dicom_node.store.database import Database, now
from dicom_node.store.jobs import RETRY_PAUSE_S

# The longest pauses that anybody sets on purpose; what waits longer waits for the clock.
LONGEST_RETRY_S = RETRY_PAUSE_S * (MAX_ATTEMPTS + 1)
LONGEST_BACKOFF_S = BACKOFF_MAX_S * 1.25


class ClockLedger:
    """What keeps an exam from waiting for an hour that the database's clock was set back by."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set_right(self, lease_s: float) -> int:
        """Let nothing wait longer than on purpose; how many rows had to be changed.

        A lease is never cut shorter than ``lease_s`` from now: whoever lives lengthens it in time.
        """
        with self._database.write() as connection:
            at = now(connection)
            statements = (*_of_jobs(at, lease_s), *_of_deliveries(at), *_of_studies(at))
            return sum(connection.execute(statement).rowcount for statement in statements)


def _of_jobs(at: float, lease_s: float) -> Sequence[Update]:
    j = t.jobs
    queued, analysing = JobState.QUEUED.value, JobState.ANALYSING.value
    return (
        update(j)
        .where(j.c.state == analysing, j.c.lease_until > at + lease_s)
        .values(lease_until=at + lease_s),
        update(j).where(j.c.state == queued, j.c.next_at > at + LONGEST_RETRY_S).values(next_at=at),
        update(j)
        .where(j.c.state.in_([queued, analysing]), j.c.hinted_at > at)
        .values(hinted_at=None),
    )


def _of_deliveries(at: float) -> Sequence[Update]:
    d = t.deliveries
    to_send = d.c.state.in_([state.value for state in TO_SEND])
    late: Any = d.c.next_at > at + LONGEST_BACKOFF_S
    return (
        update(d).where(to_send, late).values(next_at=at),
        update(d).where(d.c.asked_at > at).values(asked_at=None),
    )


def _of_studies(at: float) -> Sequence[Update]:
    s = t.studies
    first = case((s.c.opened_at > at, at), else_=s.c.opened_at)
    return (
        update(s)
        .where(s.c.state == StudyState.OPEN.value, s.c.last_received_at > at + 1.0)
        .values(last_received_at=at, opened_at=first),
    )
