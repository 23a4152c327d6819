"""The ledger's deliveries: each stored object's way to each destination."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from dicom_node.domain.delivery import (
    BACKOFF_FIRST_S,
    DELIVER_ATTEMPTS_PERMANENT,
    TO_SEND,
    DeliveryEvent,
    DeliveryState,
    Outcome,
    next_attempt_at,
)
from dicom_node.domain.job import JobState
from dicom_node.store import fallbacks
from dicom_node.store import tables as t
from dicom_node.store.change import change_delivery as _change
from dicom_node.store.database import Database, insert_if_absent, now
from dicom_node.store.outdated import any_outdated, cancel_outdated, to_resend
from dicom_node.store.settle import settle_job

NO_SUCH_OBJECT = 0x0112  # PS3.3 C.14.1.1: the destination does not have it
COMMIT_PAUSE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A destination as the ledger needs to know it: what it gets, and what proves arrival."""

    name: str
    roles: tuple[str, ...]
    needs_commitment: bool


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """One object that is due at one destination."""

    delivery_id: int
    job_id: str
    study_instance_uid: str
    role: str
    sop_class_uid: str
    sop_instance_uid: str
    sha256: str
    size: int
    released: int  # it was held, and a person has let it go


class DeliveryLedger:
    """What delivering and confirming read and write."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def plan(self, destinations: Sequence[Plan]) -> int:
        """Make deliveries of every finished job's DICOM results; the number of jobs planned."""
        with self._database.write() as connection:
            at = now(connection)
            rows = connection.execute(
                select(t.jobs.c.id)
                .where(t.jobs.c.planned_at.is_(None), t.jobs.c.state.in_(_FINISHED))
                .with_for_update(skip_locked=True)
            ).all()
            for row in rows:
                _plan_job(connection, row.id, destinations, at)
            return len(rows)

    def due(self, destination: str, limit: int = 64) -> list[Parcel]:
        """Objects due at a destination, those of the oldest job first; of one job only.

        Call while nothing is on its way there: what is out of date is cancelled first, objects
        that a restart left as sent among it.
        """
        d, a, j, s = t.deliveries, t.artefacts, t.jobs, t.studies
        self._cancel_outdated(destination)
        with self._database.read() as connection:
            rows = connection.execute(
                select(
                    d.c.id.label("delivery_id"), d.c.job_id, s.c.study_instance_uid, a.c.role,
                    a.c.sop_class_uid, a.c.sop_instance_uid, a.c.size, d.c.released,
                    func.coalesce(d.c.sha256, a.c.sha256).label("sha256"),
                )
                .join(a, a.c.id == d.c.artefact_id)
                .join(j, j.c.id == d.c.job_id)
                .join(s, s.c.id == j.c.study_id)
                .where(
                    d.c.destination == destination,
                    d.c.state.in_([state.value for state in TO_SEND]),
                    d.c.next_at <= now(connection),
                )
                .order_by(j.c.created_at, d.c.id)
                .limit(limit)
            ).all()  # fmt: skip
        parcels = [Parcel(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name
        return [parcel for parcel in parcels if parcel.job_id == parcels[0].job_id]

    def _cancel_outdated(self, destination: str) -> None:
        with self._database.read() as connection:
            if not any_outdated(connection, destination):
                return
        with self._database.write() as connection:
            own = t.deliveries.c.destination == destination
            cancel_outdated(connection, now(connection), own, actor="deliver")

    def begin(self, parcel: Parcel) -> bool:
        """Write down that the object is being sent, before its first byte leaves.

        ``False`` when it shall not leave any more: newer results came, or it was withdrawn.
        """
        with self._database.write() as connection:
            at = now(connection)
            own = t.deliveries.c.id == parcel.delivery_id
            cancel_outdated(connection, at, own, actor="deliver")
            row = _delivery(connection, parcel.delivery_id)
            if DeliveryState(row.state) not in TO_SEND:
                return False
            _change(connection, row, DeliveryEvent.SEND, at, reason="", attempts=row.attempts + 1)
            return True

    def end(
        self, parcel: Parcel, outcome: Outcome, retry_s: float = BACKOFF_FIRST_S
    ) -> DeliveryState:
        """Write down what became of an attempt, and what that means for the job."""
        with self._database.write() as connection:
            at = now(connection)
            row = _delivery(connection, parcel.delivery_id)
            state = _end(connection, row, outcome, at, retry_s)
            settle_job(connection, parcel.job_id, at)
            return state

    def postpone(
        self, parcels: Iterable[Parcel], outcome: Outcome, retry_s: float = BACKOFF_FIRST_S
    ) -> None:
        """The destination could not be reached: every parcel counts an attempt and waits."""
        with self._database.write() as connection:
            at = now(connection)
            for parcel in parcels:
                row = _delivery(connection, parcel.delivery_id)
                if DeliveryState(row.state) not in TO_SEND:
                    continue  # withdrawn by a person in the meantime
                connection.execute(
                    update(t.deliveries)
                    .where(t.deliveries.c.id == row.id)
                    .values(attempts=row.attempts + 1)
                )
                # Left over by a restart: it waits like the others, and may still have arrived.
                sent = row.state == DeliveryState.SENT.value
                end = replace(outcome, event=DeliveryEvent.NO_ANSWER) if sent else outcome
                _end(connection, _delivery(connection, parcel.delivery_id), end, at, retry_s)
                settle_job(connection, parcel.job_id, at)

    def confirm(
        self, job_id: str, destination: str, committed: AbstractSet[str], failed: Mapping[str, int]
    ) -> None:
        """Take over a destination's report; ``failed`` maps SOP Instance UIDs to reasons.

        What the report does not name stays accepted and is asked for again.
        """
        with self._database.write() as connection:
            at = now(connection)
            for row in _accepted(connection, job_id, destination):
                uid = str(row.sop_instance_uid)
                if uid in committed:
                    _change(connection, row, DeliveryEvent.COMMIT, at, reason="committed")
                elif uid in failed:
                    _not_committed(connection, row, failed[uid], at)
            settle_job(connection, job_id, at)

    def resend(self, job_id: str, destination: str | None, actor: str) -> int:
        """Send a job's stored objects again, by a person's wish; how many.

        With them go notes on older results that a destination has refused. Of a job that was
        withdrawn only its note is left to be sent.

        Raises
        ------
        LedgerError
            When the results were withdrawn, and no note on them was written.

        """
        with self._database.write() as connection:
            at = now(connection)
            rows = to_resend(connection, job_id, destination)
            sent_back = False
            for row in rows:
                if DeliveryState(row.state) in TO_SEND:
                    connection.execute(
                        update(t.deliveries).where(t.deliveries.c.id == row.id).values(next_at=at)
                    )
                    continue
                _change(
                    connection, row, DeliveryEvent.RESEND, at, actor=actor, reason="by a person",
                    attempts=0, refusals=0, next_at=at, created_at=at,
                )  # fmt: skip
                sent_back = True
            if sent_back:
                settle_job(connection, job_id, at)
            return len(rows)


# Jobs in these states have results to send, when they have results at all.
_FINISHED = [state.value for state in (JobState.ANALYSED, JobState.UNSUITABLE, JobState.FAILED)]


def _plan_job(connection: Connection, job_id: str, destinations: Sequence[Plan], at: float) -> None:
    artefacts = connection.execute(
        select(t.artefacts)
        .where(t.artefacts.c.job_id == job_id, t.artefacts.c.sop_instance_uid != "")
        .order_by(t.artefacts.c.id)
    ).all()
    for destination in destinations:
        for artefact in artefacts:
            if artefact.role in destination.roles:
                insert_if_absent(
                    connection,
                    t.deliveries,
                    artefact_id=artefact.id,
                    job_id=job_id,
                    destination=destination.name,
                    needs_commitment=int(destination.needs_commitment),
                    state=DeliveryState.WAITING.value,
                    next_at=at,
                    created_at=at,
                    updated_at=at,
                )
    connection.execute(update(t.jobs).where(t.jobs.c.id == job_id).values(planned_at=at))
    if destinations:
        # Where no destination takes any of them, such as SEG alone of a negative exam, it is done.
        settle_job(connection, job_id, at)


def _delivery(connection: Connection, delivery_id: int) -> Row[tuple[object, ...]]:
    query = select(t.deliveries).where(t.deliveries.c.id == delivery_id).with_for_update()
    return connection.execute(query).one()


def _accepted(
    connection: Connection, job_id: str, destination: str
) -> Sequence[Row[tuple[object, ...]]]:
    return connection.execute(
        select(t.deliveries, t.artefacts.c.sop_instance_uid)
        .join(t.artefacts, t.artefacts.c.id == t.deliveries.c.artefact_id)
        .where(
            t.deliveries.c.job_id == job_id,
            t.deliveries.c.destination == destination,
            t.deliveries.c.state == DeliveryState.ACCEPTED.value,
        )
        .with_for_update(of=t.deliveries)
    ).all()


def _end(
    connection: Connection, row: Row[Any], outcome: Outcome, at: float, retry_s: float
) -> DeliveryState:
    """Take over an outcome; a repeated refusal or the end of the time is final."""
    event, reason = outcome.event, outcome.reason
    values: dict[str, Any] = {"last_status": outcome.status}
    if event is DeliveryEvent.REFUSAL and row.refusals + 1 < DELIVER_ATTEMPTS_PERMANENT:
        # Some PACS refuse what they take a minute later, such as a study that is still arriving.
        event, values["refusals"] = DeliveryEvent.TRANSIENT, row.refusals + 1
    if event in {DeliveryEvent.TRANSIENT, DeliveryEvent.NO_ANSWER}:
        spread = random.random()  # noqa: S311 - jitter, not a secret
        later = next_attempt_at(at, row.attempts, row.created_at, first_s=retry_s, spread=spread)
        if later is None:
            event, reason = DeliveryEvent.REFUSAL, f"no time left; last: {reason}"
        else:
            values["next_at"] = later
    if event in {DeliveryEvent.SUCCESS, DeliveryEvent.NO_ANSWER}:
        values["reached_at"] = at
    if event is DeliveryEvent.SUCCESS:
        values["asked_at"] = None  # an earlier question was about bytes that were lost since
    if event is DeliveryEvent.REFUSAL and outcome.instead:
        event, reason = fallbacks.replace(connection, row, outcome.instead, reason, at)
    return _change(connection, row, event, at, reason=reason, **values)


def _not_committed(
    connection: Connection, row: Row[tuple[object, ...]], reason: int, at: float
) -> None:
    """A lost object goes out again at once; one that is refused, later, and not for ever."""
    text = f"not committed, reason 0x{reason:04X}"
    lost = reason == NO_SUCH_OBJECT
    wait = 0.0 if lost else COMMIT_PAUSE_S
    _change(
        connection, row, DeliveryEvent.COMMIT_FAILURE, at, reason=text, next_at=at + wait,
        refusals=row.refusals + (not lost), reached_at=None if lost else row.reached_at,
    )  # fmt: skip
    if row.refusals + 1 >= DELIVER_ATTEMPTS_PERMANENT and not lost:
        waiting = _delivery(connection, row.id)
        _change(connection, waiting, DeliveryEvent.REFUSAL, at, reason=text)
