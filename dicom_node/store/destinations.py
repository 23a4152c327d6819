"""What the ledger knows of each destination: whether it is there, what it does not take."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from dicom_node.domain.delivery import TO_TRY, DeliveryState
from dicom_node.domain.reach import Reach, answered, unreached
from dicom_node.store import service_tables
from dicom_node.store import tables as t
from dicom_node.store.database import Database, insert_if_absent, now

_OPEN = [state.value for state in (*TO_TRY, DeliveryState.SENT)]
_ASKING_FOR_A_PERSON = [DeliveryState.REFUSED.value, DeliveryState.HELD.value]


class DestinationLedger:
    """What delivering and the page read and write of whole destinations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reach(self, destination: str) -> tuple[Reach, float]:
        """What is known of one, and the database's time."""
        with self._database.read() as connection:
            return _reach(connection, destination), now(connection)

    def reaches(self) -> dict[str, Reach]:
        """What is known of all that were ever tried."""
        with self._database.read() as connection:
            rows = connection.execute(select(service_tables.reaches)).all()
            return {row.destination: _as_reach(row) for row in rows}

    def unreached(self, destination: str, reason: str) -> Reach:
        """Write down that an attempt or a probe failed."""
        spread = random.random()  # noqa: S311 - jitter, not a secret
        return self._change(destination, lambda reach, at: unreached(reach, at, reason, spread))

    def reached(self, destination: str) -> None:
        """Write down that it took an association to store objects."""
        self._change(destination, lambda _reach, _at: Reach())

    def answered(self, destination: str) -> None:
        """Write down that a probe found it: whatever is to be sent is due at once."""
        self._change(destination, lambda reach, _at: answered(reach))
        d = t.deliveries
        with self._database.write() as connection:
            connection.execute(
                update(d)
                .where(d.c.destination == destination, d.c.state.in_([s.value for s in TO_TRY]))
                .values(next_at=now(connection))
            )

    def _change(self, destination: str, change: Callable[[Reach, float], Reach]) -> Reach:
        with self._database.write() as connection:
            before = _reach(connection, destination)
            after = change(before, now(connection))
            if after != before:
                values: dict[str, Any] = vars(after)
                if not insert_if_absent(
                    connection, service_tables.reaches, destination=destination, **values
                ):
                    own = service_tables.reaches.c.destination == destination
                    connection.execute(update(service_tables.reaches).where(own).values(**values))
            return after

    def know(self, names: frozenset[str]) -> None:
        """Take over whom the settings name; what was known of others is forgotten."""
        with self._database.write() as connection:
            for table in (service_tables.reaches, service_tables.not_taken):
                connection.execute(delete(table).where(table.c.destination.not_in(names)))
            for name in sorted(names):
                insert_if_absent(
                    connection, service_tables.reaches, destination=name, **vars(Reach())
                )

    def not_taken(self) -> Mapping[str, tuple[str, ...]]:
        """SOP Class UIDs that destinations do not take, by destination."""
        with self._database.read() as connection:
            n = service_tables.not_taken
            rows = connection.execute(select(n).order_by(n.c.destination, n.c.sop_class_uid)).all()
        found: dict[str, tuple[str, ...]] = {}
        for row in rows:
            found[row.destination] = (*found.get(row.destination, ()), row.sop_class_uid)
        return found

    def backlog(self) -> dict[str, dict[str, Any]]:
        """What waits at each destination: objects by state, and since when the oldest waits (s)."""
        d = t.deliveries
        with self._database.read() as connection:
            at = now(connection)
            rows = connection.execute(
                select(
                    d.c.destination, d.c.state, func.count().label("number"),
                    func.min(d.c.created_at).label("first"),
                ).group_by(d.c.destination, d.c.state)
            ).all()  # fmt: skip
            unproven = connection.execute(
                select(d.c.destination, func.count().label("number"))
                .where(d.c.proof != "")
                .group_by(d.c.destination)
            ).all()
        found: dict[str, dict[str, Any]] = {}
        for row in rows:
            line = found.setdefault(row.destination, {"states": {}, "oldest_s": 0.0, "unproven": 0})
            line["states"][row.state] = int(row.number)
            if row.state in _OPEN:
                line["oldest_s"] = max(line["oldest_s"], at - row.first)
        for row in unproven:
            found[row.destination]["unproven"] = int(row.number)
        return found

    def undelivered(self, limit: int = 200) -> list[dict[str, Any]]:
        """Objects that a destination refused or a person must decide on, the newest first."""
        d, a, j, s = t.deliveries, t.artefacts, t.jobs, t.studies
        with self._database.read() as connection:
            rows = connection.execute(
                select(
                    d.c.id, d.c.job_id, d.c.destination, d.c.state, d.c.attempts, d.c.reason,
                    d.c.updated_at, a.c.role, a.c.key, s.c.study_instance_uid, s.c.accession_number,
                )
                .join(a, a.c.id == d.c.artefact_id)
                .join(j, j.c.id == d.c.job_id)
                .join(s, s.c.id == j.c.study_id)
                .where(d.c.state.in_(_ASKING_FOR_A_PERSON))
                .order_by(d.c.updated_at.desc(), d.c.id)
                .limit(limit)
            ).all()  # fmt: skip
        return [dict(row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name


def _reach(connection: Connection, destination: str) -> Reach:
    own = service_tables.reaches.c.destination == destination
    row = connection.execute(select(service_tables.reaches).where(own)).one_or_none()
    return Reach() if row is None else _as_reach(row)


def _as_reach(row: Any) -> Reach:  # noqa: ANN401 - a row of the table
    return Reach(**{name: getattr(row, name) for name in Reach.__dataclass_fields__})
