"""The ledger's transactions in which others ask whether their objects are kept here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, Row, insert, select, update

from dicom_node.domain.delivery import next_attempt_at
from dicom_node.domain.promise import (
    PromiseEvent,
    PromiseState,
    Question,
    Reference,
    Verdict,
    advance,
)
from dicom_node.store import events
from dicom_node.store import service_tables as s
from dicom_node.store import tables as t
from dicom_node.store.database import Database, now

AT_ONCE = 500  # UIDs of one query: SQLite has a limit on parameters


@dataclass(frozen=True, kw_only=True)
class Promise:
    """A transaction of which the report is due."""

    id: int
    transaction_uid: str
    calling_ae: str
    called_ae: str
    address: str
    references: tuple[Reference, ...]
    duplicate: bool


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One received object, as the ledger has it."""

    sop_instance_uid: str
    sop_class_uid: str
    sha256: str
    removed: bool


class PromiseLedger:
    """What answering for objects reads and writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(
        self, question: Question, calling_ae: str, called_ae: str, address: str, *, pause_s: float
    ) -> Promise:
        """Write a transaction down; its report is due for everybody else after ``pause_s``.

        A transaction that is asked for again by the same title, with the same objects, is reported
        again; one that names others is a duplicate, and nothing is promised of it.
        """
        objects = [list(reference) for reference in question.references]
        with self._database.write() as connection:
            at = now(connection)
            p = s.promises
            before = connection.execute(
                select(p)
                .where(p.c.transaction_uid == question.transaction_uid)
                .order_by(p.c.id)
                .with_for_update()
            ).all()
            for row in before:
                if (row.calling_ae, row.objects) == (calling_ae, objects):
                    values = {"next_at": at + pause_s, "asked_at": at, "address": address}
                    _change(connection, row, PromiseEvent.ASKED_AGAIN, at, "", values)
                    return _promise(row, address)
            key = connection.execute(
                insert(p).values(
                    transaction_uid=question.transaction_uid,
                    calling_ae=calling_ae,
                    called_ae=called_ae,
                    address=address,
                    objects=objects,
                    duplicate=int(bool(before)),
                    state=PromiseState.ASKED.value,
                    next_at=at + pause_s,
                    asked_at=at,
                )
            ).inserted_primary_key
            row = connection.execute(select(p).where(p.c.id == (key or [None])[0])).one()
            _record(connection, row, "asked", PromiseState.ASKED, at, f"{len(objects)} objects")
            return _promise(row, address)

    def due(self) -> list[Promise]:
        """Transactions of which the report is to be sent now, the oldest first."""
        p = s.promises
        with self._database.read() as connection:
            waiting = p.c.state == PromiseState.ASKED.value
            query = select(p).where(waiting, p.c.next_at <= now(connection)).order_by(p.c.id)
            return [_promise(row, row.address) for row in connection.execute(query.limit(20))]

    def kept(self, sop_instance_uids: Collection[str]) -> list[Kept]:
        """Everything that came under these UIDs; a UID that came with two contents twice."""
        i, uids = t.instances, sorted(set(sop_instance_uids))
        found: list[Kept] = []
        with self._database.read() as connection:
            for start in range(0, len(uids), AT_ONCE):
                few = uids[start : start + AT_ONCE]
                rows = connection.execute(select(i).where(i.c.sop_instance_uid.in_(few)))
                found += [
                    Kept(
                        sop_instance_uid=row.sop_instance_uid,
                        sop_class_uid=row.sop_class_uid,
                        sha256=row.sha256,
                        removed=row.removed_at is not None,
                    )
                    for row in rows
                ]
        return found

    def reported(self, promise: Promise, told: Verdict) -> None:
        """The asker has taken the report."""
        with self._database.write() as connection:
            at = now(connection)
            row = _locked(connection, promise)
            if row.state != PromiseState.ASKED.value:
                return
            counts = {"committed": len(told.committed), "failed": len(told.failed)}
            words = f"{counts['committed']} committed, {counts['failed']} not"
            values = {**counts, "reported_at": at, "attempts": row.attempts + 1}
            _change(connection, row, PromiseEvent.REPORT_TAKEN, at, words, values)

    def not_reported(self, promise: Promise, why: str) -> None:
        """The report was not taken: later again, until the time is up."""
        with self._database.write() as connection:
            at = now(connection)
            row = _locked(connection, promise)
            if row.state != PromiseState.ASKED.value:
                return
            attempts = row.attempts + 1
            next_at = next_attempt_at(at, attempts, row.asked_at)
            event = PromiseEvent.TIME_UP if next_at is None else PromiseEvent.REPORT_LOST
            values = {"attempts": attempts, "next_at": at if next_at is None else next_at}
            _change(connection, row, event, at, why, values)

    def release(self, promise: Promise) -> None:
        """Let the report be sent by whoever looks next."""
        with self._database.write() as connection:
            connection.execute(
                update(s.promises)
                .where(s.promises.c.id == promise.id)
                .values(next_at=now(connection))
            )

    def newest(self, number: int = 100) -> list[dict[str, object]]:
        """Transactions as people read them, the newest first."""
        query = select(s.promises).order_by(s.promises.c.id.desc()).limit(number)
        with self._database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public way


def _locked(connection: Connection, promise: Promise) -> Row[tuple[object, ...]]:
    query = select(s.promises).where(s.promises.c.id == promise.id).with_for_update()
    return connection.execute(query).one()


def _promise(row: Row[tuple[object, ...]], address: str) -> Promise:
    return Promise(
        id=row.id,
        transaction_uid=row.transaction_uid,
        calling_ae=row.calling_ae,
        called_ae=row.called_ae,
        address=address,
        references=tuple((sop_class, instance) for sop_class, instance in row.objects),
        duplicate=bool(row.duplicate),
    )


def _change(
    connection: Connection,
    row: Row[tuple[object, ...]],
    event: PromiseEvent,
    at: float,
    reason: str,
    values: dict[str, object],
) -> None:
    state = advance(PromiseState(row.state), event)
    connection.execute(
        update(s.promises)
        .where(s.promises.c.id == row.id)
        .values(state=state.value, reason=reason, **values)
    )
    _record(connection, row, event.value, state, at, reason)


def _record(
    connection: Connection,
    row: Row[tuple[object, ...]],
    event: str,
    state: PromiseState,
    at: float,
    reason: str,
) -> None:
    events.record(
        connection,
        at=at,
        study_id=None,
        subject="promise",
        subject_id=row.transaction_uid,
        event=event,
        to_state=state.value,
        reason=reason,
        actor=row.calling_ae,
    )
