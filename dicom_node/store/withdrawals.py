"""The ledger's withdrawals: results taken back, each set at each destination by one note."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, exists, func, or_, select, update

from dicom_node.domain.delivery import ARRIVED, TO_SEND, DeliveryState
from dicom_node.domain.identifiers import derive_id
from dicom_node.domain.job import JobState
from dicom_node.domain.rejection import REJECTION, Reason
from dicom_node.errors import LedgerError
from dicom_node.store import events
from dicom_node.store import tables as t
from dicom_node.store.database import Database, insert_if_absent, now
from dicom_node.store.jobs import Artefact
from dicom_node.store.outdated import (
    NOT_ON_ITS_WAY,
    cancel_outdated,
    takes_the_place,
    withdraw_job,
)
from dicom_node.store.studies import locked_study

_PHRASES = {
    Reason.QUALITY: "for quality reasons",
    Reason.SAFETY: "for patient safety reasons",
    Reason.WORKLIST: "the worklist entry was wrong",
}
_KEY_LENGTH = 40  # of an artefact


@dataclass(frozen=True, kw_only=True)
class Order:
    """One set of results to be taken back at one destination by a note that is not written yet."""

    withdrawal_id: int
    job_id: str
    study_instance_uid: str
    destination: str
    reason: Reason
    words: str
    asked_at: float
    hashes: tuple[str, ...]  # of the objects that are there, or may be, in the order of making

    @property
    def key(self) -> str:
        """Tells the notes on one set apart."""
        name = self.destination
        return name if len(name) <= _KEY_LENGTH else derive_id(name)


@dataclass(frozen=True, kw_only=True)
class Withdrawn:
    """What a person's withdrawal did at once, and where notes will go."""

    cancelled: int
    noted: tuple[str, ...]  # destinations that hold results, or may


class WithdrawalLedger:
    """What ``dicom-node withdraw`` writes, and the stage that writes the notes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def withdraw(
        self, study_instance_uid: str, reason: Reason, words: str, actor: str
    ) -> Withdrawn:
        """Take back every result of a study: nothing more is sent, and notes name what was.

        Results of all revisions, for the older ones would come to the front otherwise.

        Raises
        ------
        LedgerError
            When the study is unknown, is being analysed, has no results, or is withdrawn already.

        """
        why = f"{_PHRASES[reason]}: {words}" if words else _PHRASES[reason]
        with self._database.write() as connection:
            at = now(connection)
            study = locked_study(connection, study_instance_uid)
            jobs = _jobs_with_results(connection, study)
            fresh = False
            for job in jobs:
                for destination in _destinations(connection, job.id):
                    fresh |= insert_if_absent(
                        connection, t.withdrawals, job_id=job.id, destination=destination,
                        reason=reason.value, words=why, actor=actor, asked_at=at,
                    )  # fmt: skip
            ids = [job.id for job in jobs]
            own = t.deliveries.c.job_id.in_(ids)
            cancelled = cancel_outdated(connection, at, own, actor=actor, states=NOT_ON_ITS_WAY)
            for job_id in ids:
                fresh |= withdraw_job(connection, job_id, at, why, actor)
            if not fresh and not cancelled:
                raise LedgerError(f"study {study_instance_uid}: its results are withdrawn already")
            return Withdrawn(cancelled=cancelled, noted=_to_be_noted(connection, ids))

    def replace(self, destination: str) -> int:
        """Take back sets at a destination that has accepted all of a newer one; how many.

        Not earlier: a reader shall never be left without any valid result.
        """
        with self._database.read() as connection:
            if connection.execute(_replaced(destination).limit(1)).first() is None:
                return 0
        with self._database.write() as connection:
            at = now(connection)
            rows = connection.execute(_replaced(destination)).all()
            for row in rows:
                why = f"revision {row.newer} took its place"
                if insert_if_absent(
                    connection, t.withdrawals, job_id=row.id, destination=destination,
                    reason=Reason.QUALITY.value, words=why, actor="withdraw", asked_at=at,
                ):  # fmt: skip
                    withdraw_job(connection, row.id, at, why, "withdraw")
            return len(rows)

    def due(self, destination: str) -> list[Order]:
        """Notes to be written for a destination: nothing of their sets is on its way there.

        Sets of which nothing ever arrived need none; their withdrawal ends here.
        """
        w = t.withdrawals
        with self._database.read() as connection:
            open_ones = connection.execute(
                select(w, t.studies.c.study_instance_uid)
                .join(t.jobs, t.jobs.c.id == w.c.job_id)
                .join(t.studies, t.studies.c.id == t.jobs.c.study_id)
                .where(w.c.destination == destination, w.c.ended_at.is_(None))
                .order_by(w.c.id)
            ).all()
            found = [(row, _sent(connection, row.job_id, destination)) for row in open_ones]
        orders = []
        for row, sent in found:
            if any(DeliveryState(one.state) in TO_SEND for one in sent):
                continue
            there = tuple(one.sha256 for one in sent if one.reached_at is not None)
            if there:
                orders.append(_order(row, there))
            else:
                self._end_without_note(row.id)
        return orders

    def _end_without_note(self, withdrawal_id: int) -> None:
        with self._database.write() as connection:
            connection.execute(
                update(t.withdrawals)
                .where(t.withdrawals.c.id == withdrawal_id)
                .values(ended_at=now(connection))
            )

    def write(
        self,
        order: Order,
        note: Artefact,
        *,
        needs_commitment: bool,
        needs_sight: bool = False,
    ) -> None:
        """Take over a note whose bytes are stored, once, with its delivery."""
        w, a = t.withdrawals, t.artefacts
        with self._database.write() as connection:
            at = now(connection)
            insert_if_absent(connection, a, job_id=order.job_id, created_at=at, **vars(note))
            of_note = (a.c.job_id == order.job_id, a.c.role == note.role, a.c.key == note.key)
            artefact_id = connection.execute(select(a.c.id).where(*of_note)).scalar_one()
            insert_if_absent(
                connection, t.deliveries, artefact_id=artefact_id, job_id=order.job_id,
                destination=order.destination, needs_commitment=int(needs_commitment),
                needs_sight=int(needs_sight),
                state=DeliveryState.WAITING.value, next_at=at, created_at=at, updated_at=at,
                released=1,  # it names the patient as the objects there do, right or wrong
            )  # fmt: skip
            ended = connection.execute(
                update(w)
                .where(w.c.id == order.withdrawal_id, w.c.ended_at.is_(None))
                .values(ended_at=at, artefact_id=artefact_id)
            )
            if ended.rowcount == 1:
                _record(connection, order, at)


def _record(connection: Connection, order: Order, at: float) -> None:
    study_id = connection.execute(
        select(t.jobs.c.study_id).where(t.jobs.c.id == order.job_id)
    ).scalar_one()
    events.record(
        connection,
        at=at,
        study_id=study_id,
        subject="withdrawal",
        subject_id=order.destination[:64],
        event="note_written",
        reason=f"{order.words}; {len(order.hashes)} objects at {order.destination}",
        actor="withdraw",
    )


def _jobs_with_results(connection: Connection, study: Row[tuple[object, ...]]) -> list[Row[Any]]:
    """The study's jobs that have something to be taken back; a ``LedgerError`` if none is."""
    j, uid = t.jobs, study.study_instance_uid
    jobs = connection.execute(select(j).where(j.c.study_id == study.id).order_by(j.c.revision))
    rows: Sequence[Row[Any]] = jobs.all()
    if rows and rows[-1].state in {JobState.QUEUED.value, JobState.ANALYSING.value}:
        raise LedgerError(f"study {uid}: is being analysed ({rows[-1].state}); wait for it")
    stored = select(t.artefacts.c.job_id).where(t.artefacts.c.sop_instance_uid != "")
    with_results = set(connection.execute(stored.where(_of(rows))).scalars())
    if not with_results:
        raise LedgerError(f"study {uid}: has no results, so there is nothing to withdraw")
    return [row for row in rows if row.id in with_results]


def _of(jobs: Sequence[Row[Any]]) -> Any:  # noqa: ANN401 - a SQL condition
    return t.artefacts.c.job_id.in_([job.id for job in jobs])


def _destinations(connection: Connection, job_id: str) -> list[str]:
    d = t.deliveries
    query = select(d.c.destination).where(d.c.job_id == job_id).distinct()
    return sorted(connection.execute(query).scalars())


def _to_be_noted(connection: Connection, job_ids: Sequence[str]) -> tuple[str, ...]:
    """Destinations where a note follows: something is there, may be, or is on its way now."""
    w, d = t.withdrawals, t.deliveries
    there = or_(d.c.reached_at.is_not(None), d.c.state == DeliveryState.SENT.value)
    query = (
        select(w.c.destination)
        .join(d, and_(d.c.job_id == w.c.job_id, d.c.destination == w.c.destination))
        .where(w.c.job_id.in_(job_ids), w.c.ended_at.is_(None), there)
        .distinct()
    )
    return tuple(sorted(connection.execute(query).scalars()))


def _sent(
    connection: Connection, job_id: str, destination: str
) -> Sequence[Row[str, float | None, str]]:
    """State and hash of every result of a job at a destination, without notes."""
    d, a = t.deliveries, t.artefacts
    return connection.execute(
        select(d.c.state, d.c.reached_at, func.coalesce(d.c.sha256, a.c.sha256).label("sha256"))
        .join(a, a.c.id == d.c.artefact_id)
        .where(d.c.job_id == job_id, d.c.destination == destination, a.c.role != REJECTION)
        .order_by(a.c.id)
    ).all()


def _order(row: Row[tuple[object, ...]], hashes: tuple[str, ...]) -> Order:
    return Order(
        withdrawal_id=row.id,
        job_id=row.job_id,
        study_instance_uid=row.study_instance_uid,
        destination=row.destination,
        reason=Reason(row.reason),
        words=row.words,
        asked_at=row.asked_at,
        hashes=hashes,
    )


def _replaced(destination: str) -> Select[Any]:
    """Jobs with objects at a destination, and the newest later revision that it has in full."""
    j, k, d = t.jobs, t.jobs.alias("newer"), t.deliveries
    own, new, late = d.alias("own"), d.alias("new"), d.alias("late")
    # What was replaced is there in another form.
    at_hand = [state.value for state in (*ARRIVED, DeliveryState.REPLACED)]
    return (
        select(j.c.id, func.max(k.c.revision).label("newer"))
        .join(k, and_(k.c.study_id == j.c.study_id, k.c.revision > j.c.revision))
        .where(
            k.c.revision > 1,
            takes_the_place(k),
            exists().where(own.c.job_id == j.c.id, own.c.destination == destination),
            exists().where(new.c.job_id == k.c.id, new.c.destination == destination),
            ~exists().where(
                late.c.job_id == k.c.id,
                late.c.destination == destination,
                late.c.state.not_in(at_hand),
            ),
            ~exists().where(
                t.withdrawals.c.job_id == j.c.id, t.withdrawals.c.destination == destination
            ),
        )
        .group_by(j.c.id)
        .order_by(j.c.id)
    )
