"""The ledger's log of associations: who came, what was agreed, how it ended, what to do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, not_, select, update

from dicom_node.domain.association import (
    STRANGERS,
    Contexts,
    Diagnosis,
    End,
    Ending,
    Entry,
    Visit,
)
from dicom_node.store import events
from dicom_node.store import tables as t
from dicom_node.store.database import Database, now
from dicom_node.store.writer import Act, Order, Said, Writer, nobody

KEPT_S = 90 * 86400.0
TOLD_EVERY_S = 60.0  # of one refused caller: the trail is kept for years
_STRANGERS = [refusal.value for refusal in STRANGERS]
KEPT_ROWS = 20_000  # a storm of callers must not fill the disk


def _open(connection: Connection, batch: Sequence[tuple[Entry, Visit]]) -> list[None]:
    at = now(connection)
    for entry, visit in batch:
        result = connection.execute(insert(t.associations).values(**_who(visit), opened_at=at))
        key = result.inserted_primary_key
        assert key is not None  # noqa: S101 - an INSERT of one row always has its key
        entry.id = int(key[0])
    return [None] * len(batch)


def _close(connection: Connection, batch: Sequence[tuple[Entry, End, Diagnosis]]) -> list[None]:
    at = now(connection)
    for entry, end, diagnosis in batch:
        connection.execute(
            update(t.associations)
            .where(t.associations.c.id == entry.id)
            .values(**_how(end, diagnosis), closed_at=at)
        )
    return [None] * len(batch)


def _reject(connection: Connection, batch: Sequence[tuple[Visit, End, Diagnosis]]) -> list[None]:
    at = now(connection)
    for visit, end, diagnosis in batch:
        if diagnosis.code in _STRANGERS and not _told_lately(connection, visit, at):
            events.record(
                connection, at=at, study_id=None, subject="caller",
                subject_id=f"{visit.calling_ae} {visit.address}"[:64].strip(),
                event="refused", reason=diagnosis.advice, actor="callers",
            )  # fmt: skip
        values = {**_who(visit), **_how(end, diagnosis), "opened_at": at, "closed_at": at}
        connection.execute(insert(t.associations).values(**values))
    return [None] * len(batch)


_OPEN, _CLOSE = Act(Order.OPENED, _open), Act(Order.ENDED, _close)
_REJECT = Act(Order.REJECTED, _reject)


class AssociationLedger:
    """What the listener writes of its callers, and what people read of it."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    def open(self, visit: Visit, said: Said = nobody) -> Entry:
        """Record that a peer has come in, at the latest with the first image that it sends.

        ``said`` hears how that went; no association waits for it.
        """
        entry = Entry()

        def told(error: Exception | None) -> None:
            if error is not None:
                entry.id = None  # no image may name a row that is not there
            said(error)

        self._writer.send(_OPEN, (entry, visit), told)
        return entry

    def close(self, entry: Entry, end: End, diagnosis: Diagnosis, said: Said = nobody) -> None:
        """Record how an association ended, and what to do about it; ``said`` hears when."""
        self._writer.send(_CLOSE, (entry, end, diagnosis), said)

    def reject(self, visit: Visit, end: End, diagnosis: Diagnosis, said: Said = nobody) -> None:
        """Record an association that was not accepted."""
        self._writer.send(_REJECT, (visit, end, diagnosis), said)

    def close_lost(
        self,
        alive: Collection[int] = (),
        older_than_s: float = 0.0,
        those: Collection[int] | None = None,
    ) -> int:
        """Associations that are open here and nowhere else are over, of ``those`` or of all.

        A crash leaves them behind, or a database that was away when they ended. Returns how many.
        """
        a = t.associations
        which = a.c.id.not_in(alive) if those is None else a.c.id.in_(those)
        lost = (a.c.closed_at.is_(None), which)
        with self._database.read() as connection:
            if not connection.execute(select(exists().where(*lost))).scalar_one():
                return 0
        with self._database.write() as connection:
            at = now(connection)
            result = connection.execute(
                update(a)
                .where(*lost, a.c.opened_at <= at - older_than_s)
                .values(
                    closed_at=at,
                    ending=Ending.RESTARTED.value,
                    code=Ending.RESTARTED.name.lower(),
                    advice="The node ended without notice; the sender has to send the rest again.",
                )
            )
            return result.rowcount

    def newest(self, limit: int = 100, *, failed: bool = False) -> list[dict[str, Any]]:
        """The newest associations first, or only those that did not go well."""
        a = t.associations
        query = select(a).order_by(a.c.opened_at.desc(), a.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(query.where(a.c.code != "") if failed else query)
            return [{**row._mapping, "contexts": contexts_from(row.contexts)} for row in rows]  # noqa: SLF001 - SQLAlchemy's public name

    def strangers(self, limit: int = 100) -> list[dict[str, Any]]:
        """Callers that were refused for who they are: each once, the newest first."""
        a = t.associations
        newest = (
            select(
                func.max(a.c.id).label("id"),
                func.count().label("times"),
                func.min(a.c.opened_at).label("first_at"),
            )
            .where(a.c.code.in_(_STRANGERS))
            .group_by(a.c.calling_ae, a.c.called_ae, a.c.address, a.c.certificate)
            .subquery()
        )
        query = (
            select(a, newest.c.times, newest.c.first_at)
            .join(newest, newest.c.id == a.c.id)
            .order_by(a.c.id.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name

    def counts(self) -> dict[str, int]:
        """How many associations of the log ended in which way; open ones as ``"open"``."""
        a = t.associations
        query = select(func.coalesce(a.c.ending, "open"), func.count()).group_by(a.c.ending)
        with self._database.read() as connection:
            return {str(ending): int(number) for ending, number in connection.execute(query)}

    def prune(self) -> int:
        """Forget what is old, and the oldest of too many; never what an image came with."""
        a = t.associations
        with self._database.write() as connection:
            newest = select(func.max(a.c.id)).scalar_subquery()
            old: ColumnElement[bool] = (a.c.closed_at < now(connection) - KEPT_S) | (
                a.c.closed_at.is_not(None) & (a.c.id < newest - KEPT_ROWS)
            )
            used = exists().where(t.instances.c.association_id == a.c.id)
            return connection.execute(delete(a).where(old, not_(used))).rowcount


def _told_lately(connection: Connection, visit: Visit, at: float) -> bool:
    """Whether the trail has just heard of this caller."""
    a = t.associations
    same = exists().where(
        a.c.opened_at > at - TOLD_EVERY_S,
        a.c.code.in_(_STRANGERS),
        a.c.calling_ae == visit.calling_ae,
        a.c.address == visit.address,
    )
    return bool(connection.execute(select(same)).scalar_one())


def contexts_from(stored: Iterable[dict[str, Any]]) -> tuple[Contexts, ...]:
    """Contexts as the ledger keeps them."""
    return tuple(
        Contexts(
            classes=tuple(group["classes"]),
            syntaxes=tuple(group["syntaxes"]),
            result=group["result"],
            accepted=group["accepted"],
        )
        for group in stored
    )


def _who(visit: Visit) -> dict[str, object]:
    return {
        "called_ae": visit.called_ae,
        "calling_ae": visit.calling_ae,
        "address": visit.address,
        "peer": visit.peer,
        "tls": visit.tls,
        "certificate": f"sha256:{visit.shown.fingerprint}" if visit.shown else "",
        "certificate_names": list(visit.shown.names) if visit.shown else [],
        "contexts": [asdict(group) for group in visit.contexts],
    }


def _how(end: End, diagnosis: Diagnosis) -> dict[str, object]:
    return {
        "ending": end.ending.value,
        "objects": end.objects,
        "bytes": end.size,
        "refused": end.refused,
        "reason": end.complaint,
        "code": diagnosis.code,
        "advice": diagnosis.advice,
    }
