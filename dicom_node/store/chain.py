"""Events sealed into a chain of hashes, in the order in which they became visible."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, func, insert, select, text

from dicom_node.store import audit_tables, events
from dicom_node.store import tables as t
from dicom_node.store.database import Database, now

NOTHING = "0" * 64  # before the first event
BATCH = 500
LATE = 10_000  # events that may be sealed before one that had its number earlier
_FIELDS = (
    "id", "at", "study_id", "subject", "subject_id", "event", "from_state", "to_state", "reason",
    "actor",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What reading the whole chain gave."""

    broken: str  # empty: it is whole
    sealed: int
    unsealed: int
    head: str  # the last hash: noted elsewhere, it proves that nothing was cut off

    @property
    def intact(self) -> bool:
        """Whether every sealed event is there as it was written."""
        return not self.broken


class ChainLedger:
    """What seals and reads the trail; nothing of it is in the way of a C-STORE.

    An event is written in the transaction of the change it tells of, without any lock. A loop
    seals what has been committed. PostgreSQL hands out numbers before the commit, so an event may
    become visible after one with a higher number: it is then sealed after it. The chain's order
    is that of the seals; a number that is missing is a transaction that was rolled back.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def seal(self, *, everything: bool = False, limit: int = BATCH) -> int:
        """Seal what is not sealed yet; how many. Only one of two at the same moment succeeds.

        ``everything`` looks at every event there is, not only at the newer ones.
        """
        s, e = audit_tables.seals, t.events
        with self._database.read() as connection:
            position, link = head(connection)
            before = select(s.c.event_id).where(s.c.position == position - LATE)
            floor = None if everything else connection.execute(before).scalar_one_or_none()
            sealed = exists().where(s.c.event_id == e.c.id)
            fresh = select(e).where(e.c.id > (floor or 0), ~sealed).order_by(e.c.id).limit(limit)
            rows = connection.execute(fresh).all()
        if not rows:
            return 0
        seals = []
        for number, row in enumerate(rows, start=position + 1):
            digest = digest_of(row)
            link = link_of(link, digest)
            seals.append({"position": number, "event_id": row.id, "digest": digest, "hash": link})
        with self._database.write() as connection:
            at = now(connection)
            connection.execute(insert(s), [{**seal, "sealed_at": at} for seal in seals])
        return len(seals)

    def verify(self) -> Verdict:
        """Read the whole chain; the first row that is not what was sealed, if any."""
        s, e = audit_tables.seals, t.events
        with self._database.read() as connection:
            unsealed = select(func.count()).where(~exists().where(s.c.event_id == e.c.id))
            waiting = int(connection.execute(unsealed.select_from(e)).scalar_one())
            gone = _forgotten(connection)
            link, number = NOTHING, 0
            broken = "" if _guarded(connection) else "the triggers that refuse changes are missing"
            for row in _pages(connection):
                number += 1
                broken = broken or _fault(row, number, link, gone)
                link = row.hash
        return Verdict(broken=broken, sealed=number, unsealed=waiting, head=link)

    def forget(self, older_than_s: float) -> int:
        """Remove events that are too old, oldest first; how many. Their seals stay."""
        s, e = audit_tables.seals, t.events
        with self._database.write() as connection:
            at = now(connection)
            joined = select(func.min(s.c.position)).join(e, e.c.id == s.c.event_id)
            kept = connection.execute(joined.where(e.c.at >= at - older_than_s)).scalar_one()
            last = head(connection)[0] if kept is None else kept - 1
            old = select(s.c.event_id).where(s.c.position <= last).scalar_subquery()
            if not connection.execute(select(exists().where(e.c.id.in_(old)))).scalar_one():
                return 0
            connection.execute(insert(audit_tables.audit_door).values(opened_by="retention"))
            removed = connection.execute(delete(e).where(e.c.id.in_(old))).rowcount
            connection.execute(delete(audit_tables.audit_door))
            events.record(
                connection, at=at, study_id=None, subject="audit", subject_id=str(last),
                event="forgotten", reason=f"{removed} events, older than audit.keep_years",
                actor="audit",
            )  # fmt: skip
            return removed


def head(connection: Connection) -> tuple[int, str]:
    """Position and hash of the last seal."""
    s = audit_tables.seals
    last = select(s.c.position, s.c.hash).order_by(s.c.position.desc()).limit(1)
    row = connection.execute(last).one_or_none()
    return (0, NOTHING) if row is None else (int(row.position), str(row.hash))


def digest_of(row: Row[Any]) -> str:
    """SHA-256 of every column of an event's row."""
    values = [getattr(row, name) for name in _FIELDS]
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()


def link_of(before: str, digest: str) -> str:
    """The next hash of the chain."""
    return hashlib.sha256(f"{before}{digest}".encode()).hexdigest()


def _pages(connection: Connection) -> Iterator[Row[Any]]:
    s, e = audit_tables.seals, t.events
    last = -1
    while True:
        query = (
            select(s.c.position, s.c.event_id, s.c.digest, s.c.hash, e)
            .outerjoin(e, e.c.id == s.c.event_id)
            .where(s.c.position > last)
            .order_by(s.c.position)
            .limit(BATCH)
        )
        rows = connection.execute(query).all()
        if not rows:
            return
        yield from rows
        last = rows[-1].position


def _fault(row: Row[Any], number: int, link: str, forgotten: int) -> str:
    """What is wrong with one link, in words; empty when nothing is."""
    if row.position != number:
        return f"seal {number} is missing"
    if row.hash != link_of(link, row.digest):
        return f"seal {number} does not follow the one before"
    if row.id is None:
        return "" if number <= forgotten else f"event {row.event_id} was removed"
    if digest_of(row) != row.digest:
        return f"event {row.event_id} was changed"
    return ""


def _forgotten(connection: Connection) -> int:
    """The last position that retention removed, by its own event."""
    e = t.events
    query = select(e.c.subject_id).where(e.c.subject == "audit", e.c.event == "forgotten")
    return max((int(value) for value in connection.execute(query).scalars()), default=0)


def _guarded(connection: Connection) -> bool:
    """Whether the database still refuses changes of events and seals."""
    sqlite = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%_no_%'"
    postgresql = (
        "SELECT count(*) FROM pg_trigger WHERE tgenabled = 'O' AND NOT tgisinternal "
        "AND tgrelid IN ('events'::regclass, 'seals'::regclass)"
    )
    query = sqlite if connection.dialect.name == "sqlite" else postgresql
    return int(connection.execute(text(query)).scalar_one()) >= 4  # noqa: PLR2004 - two of each
