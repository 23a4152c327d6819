"""The ledger's deliveries: each stored object's way to each destination."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, and_, func, or_, select, update

from dicom_node.domain.delivery import (
    DELIVER_ATTEMPTS_PERMANENT,
    PATIENCE,
    TO_SEND,
    TO_TRY,
    DeliveryEvent,
    DeliveryState,
    Outcome,
    Patience,
    next_attempt_at,
)
from dicom_node.store import fallbacks, planning
from dicom_node.store import tables as t
from dicom_node.store.change import change_delivery as _change
from dicom_node.store.database import Database, now
from dicom_node.store.outdated import any_outdated, cancel_outdated, to_resend
from dicom_node.store.planning import Plan
from dicom_node.store.settle import settle_job, settle_jobs

__all__ = ["DeliveryLedger", "Parcel", "Plan"]


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


_ASKING_FOR_A_PERSON = {DeliveryState.REFUSED, DeliveryState.HELD}
_TO_TRY = [state.value for state in TO_TRY]


class DeliveryLedger:
    """What delivering and confirming read and write."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def plan(self, destinations: Sequence[Plan]) -> int:
        """Make deliveries of every finished job's DICOM results; the number of jobs planned."""
        if not self._database.finds(planning.UNPLANNED):
            return 0
        with self._database.write() as connection:
            return planning.plan(connection, destinations)

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

    def sources(self, parcel: Parcel) -> tuple[float, list[tuple[str, str]]]:
        """Seconds that a parcel has waited, and (series, instance) of each image analysed."""
        with self._database.read() as connection:
            d = t.deliveries
            own = select(d.c.created_at).where(d.c.id == parcel.delivery_id)
            planned_at = connection.execute(own).scalar_one()
            headers = connection.execute(
                select(t.instances.c.header)
                .join(t.job_inputs)
                .where(t.job_inputs.c.job_id == parcel.job_id)
            ).scalars()
            images = [(one["series_instance_uid"], one["sop_instance_uid"]) for one in headers]
            return now(connection) - planned_at, images

    def begin(self, parcel: Parcel, remark: str = "") -> bool:
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
            _change(
                connection, row, DeliveryEvent.SEND, at, reason=remark, attempts=row.attempts + 1
            )
            return True

    def end(self, parcel: Parcel, outcome: Outcome, patience: Patience = PATIENCE) -> DeliveryState:
        """Write down what became of an attempt, and what that means for the job."""
        with self._database.write() as connection:
            at = now(connection)
            row = _delivery(connection, parcel.delivery_id)
            state = _end(connection, row, outcome, at, patience)
            settle_job(connection, parcel.job_id, at)
            return state

    def postpone(
        self, parcels: Sequence[Parcel], outcome: Outcome, patience: Patience = PATIENCE
    ) -> None:
        """The destination could not be reached: every parcel counts an attempt and waits."""
        with self._database.write() as connection:
            at = now(connection)
            for parcel in sorted(parcels, key=lambda one: one.delivery_id):
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
                _end(connection, _delivery(connection, parcel.delivery_id), end, at, patience)
            settle_jobs(connection, (parcel.job_id for parcel in parcels), at)

    def hold_back(self, parcels: Iterable[Parcel], reason: str, wait_s: float) -> None:
        """Let parcels wait for something that is no fault of theirs: no attempt is counted."""
        with self._database.write() as connection:
            at = now(connection)
            d = t.deliveries
            for parcel in parcels:
                connection.execute(
                    update(d)
                    .where(d.c.id == parcel.delivery_id, d.c.state.in_(_TO_TRY))
                    .values(next_at=at + wait_s, reason=reason)
                )

    def down(self, destination: str, reason: str, patience: Patience) -> int:
        """Tell what waits for a destination that is down why; how many objects ended for it.

        Those end of which the time is over.
        """
        d = t.deliveries
        own = (d.c.destination == destination, d.c.state.in_(_TO_TRY))
        with self._database.write() as connection:
            at = now(connection)
            late = and_(*own, d.c.created_at <= at - patience.within_s)
            # Left over by a restart: nothing is on its way there now.
            left_over = and_(own[0], d.c.state == DeliveryState.SENT.value)
            query = select(d).where(or_(late, left_over)).order_by(d.c.id).with_for_update()
            rows = connection.execute(query).all()
            outcome = Outcome(event=DeliveryEvent.TRANSIENT, status=None, reason=reason)
            lost = replace(outcome, event=DeliveryEvent.NO_ANSWER)
            for row in rows:
                was_sent = row.state == DeliveryState.SENT.value
                _end(connection, row, lost if was_sent else outcome, at, patience)
            settle_jobs(connection, (str(row.job_id) for row in rows), at)
            connection.execute(update(d).where(*own, d.c.reason == "").values(reason=reason))
            return sum(row.state != DeliveryState.SENT.value for row in rows)

    def resend(
        self, job_id: str, destination: str | None, actor: str, *, ended_only: bool = False
    ) -> int:
        """Send a job's stored objects again, by a person's wish; how many.

        ``ended_only`` leaves alone what has arrived, or is still tried by itself.

        With them go notes on older results that a destination has refused. Of a job that was
        withdrawn only its note is left to be sent.

        Raises
        ------
        LedgerError
            When the results were withdrawn, and no note on them was written.

        """
        with self._database.write() as connection:
            at = now(connection)
            rows = [
                row
                for row in to_resend(connection, job_id, destination)
                if not ended_only or DeliveryState(row.state) in _ASKING_FOR_A_PERSON
            ]
            sent_back = False
            for row in rows:
                if DeliveryState(row.state) in TO_SEND:
                    connection.execute(
                        update(t.deliveries).where(t.deliveries.c.id == row.id).values(next_at=at)
                    )
                    continue
                _change(
                    connection, row, DeliveryEvent.RESEND, at, actor=actor, reason="by a person",
                    attempts=0, refusals=0, next_at=at, created_at=at, asked_at=None, asks=0,
                )  # fmt: skip
                fallbacks.take(connection, row)  # a person has changed something there
                sent_back = True
            if sent_back:
                settle_job(connection, job_id, at)
            return len(rows)


def _delivery(connection: Connection, delivery_id: int) -> Row[tuple[object, ...]]:
    query = select(t.deliveries).where(t.deliveries.c.id == delivery_id).with_for_update()
    return connection.execute(query).one()


def _end(
    connection: Connection, row: Row[Any], outcome: Outcome, at: float, patience: Patience
) -> DeliveryState:
    """Take over an outcome; a repeated refusal or the end of the time is final."""
    event, reason = outcome.event, outcome.reason
    values: dict[str, Any] = {"last_status": outcome.status}
    known = outcome.not_taken and fallbacks.is_not_taken(connection, row)
    early = row.refusals + 1 < DELIVER_ATTEMPTS_PERMANENT and not known
    if event is DeliveryEvent.REFUSAL and early:
        # Some PACS refuse what they take a minute later, such as a study that is still arriving.
        event, values["refusals"] = DeliveryEvent.TRANSIENT, row.refusals + 1
    if event in {DeliveryEvent.TRANSIENT, DeliveryEvent.NO_ANSWER}:
        spread = random.random()  # noqa: S311 - jitter, not a secret
        later = next_attempt_at(at, row.attempts, row.created_at, patience, spread=spread)
        if later is None:
            event, reason = DeliveryEvent.REFUSAL, f"no time left; last: {reason}"
        else:
            values["next_at"] = later
    if outcome.event in {DeliveryEvent.SUCCESS, DeliveryEvent.NO_ANSWER}:
        values["reached_at"] = at  # though it be given up for lack of time: it may be there
    if event is DeliveryEvent.SUCCESS:
        # An earlier question was about bytes that were lost since.
        values |= {"asked_at": None, "asks": 0}
        fallbacks.take(connection, row)
    if event is DeliveryEvent.REFUSAL and outcome.not_taken:
        fallbacks.do_not_take(connection, row, reason, at)
    if event is DeliveryEvent.REFUSAL and outcome.instead:
        event, reason = fallbacks.replace(connection, row, outcome.instead, reason, at)
    return _change(connection, row, event, at, reason=reason, **values)
