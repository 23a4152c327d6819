"""The trail as it is read, handed over, and added to by acts that change no exam."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, Select, case, func, select, update

from dicom_node.domain.audit import Entry
from dicom_node.store import audit_tables, events
from dicom_node.store import tables as t
from dicom_node.store.database import Database, insert_if_absent, now

CURSOR = "syslog"


class TrailLedger:
    """Sealed events in their order, with what the ledger knows of the objects."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(
        self, subject: str, subject_id: str, event: str, actor: str, reason: str = "",
        study_instance_uid: str = "",
    ) -> None:  # fmt: skip
        """Write one event that changes no state."""
        s = t.studies
        with self._database.write() as connection:
            uid_is = s.c.study_instance_uid == study_instance_uid
            study = connection.execute(select(s.c.id).where(uid_is)).scalar_one_or_none()
            events.record(
                connection, at=now(connection), study_id=study, subject=subject,
                subject_id=subject_id[:64], event=event, actor=actor, reason=reason,
            )  # fmt: skip

    def waiting(self, limit: int) -> list[Entry]:
        """Sealed events that were not handed over yet, in the order of their seals."""
        c = audit_tables.audit_cursor
        moved = select(c.c.position).where(c.c.name == CURSOR).scalar_subquery()
        s = audit_tables.seals
        query = _entries().where(s.c.position > func.coalesce(moved, 0))
        return self._read(query.order_by(s.c.position).limit(limit))

    def newest(self, limit: int) -> list[Entry]:
        """The newest sealed events, the newest first."""
        return self._read(_entries().order_by(audit_tables.seals.c.position.desc()).limit(limit))

    def between(self, first: int, last: int) -> list[Entry]:
        """Sealed events from one position to another."""
        s = audit_tables.seals
        query = _entries().where(s.c.position.between(first, last))
        return self._read(query.order_by(s.c.position))

    def handed_over(self, position: int) -> None:
        """Everything up to this position has been taken by the audit repository."""
        c = audit_tables.audit_cursor
        with self._database.write() as connection:
            at = now(connection)
            if not insert_if_absent(connection, c, name=CURSOR, position=position, moved_at=at):
                connection.execute(
                    update(c)
                    .where(c.c.name == CURSOR, c.c.position < position)
                    .values(position=position, moved_at=at)
                )

    def backlog(self) -> int:
        """How many sealed events wait to be handed over."""
        s, c = audit_tables.seals, audit_tables.audit_cursor
        with self._database.read() as connection:
            moved = select(c.c.position).where(c.c.name == CURSOR).scalar_subquery()
            query = select(func.coalesce(func.max(s.c.position), 0) - func.coalesce(moved, 0))
            return max(0, int(connection.execute(query).scalar_one()))

    def _read(self, query: Select[Any]) -> list[Entry]:
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            sent = [int(row.subject_id.split(" ")[0]) for row in rows if row.subject == "delivery"]
            d, a = t.deliveries, t.artefacts
            found = connection.execute(
                select(d.c.id, a.c.sop_class_uid, a.c.sop_instance_uid)
                .join(a, a.c.id == d.c.artefact_id)
                .where(d.c.id.in_(sent))
            )
            objects = {str(row.id): (row.sop_class_uid, row.sop_instance_uid) for row in found}
        return list(_with_objects(rows, objects))


def _entries() -> Select[Any]:
    s, e, i = audit_tables.seals, t.events, t.instances
    received = (
        select(func.max(i.c.sop_class_uid))
        .where(i.c.sop_instance_uid == e.c.subject_id)
        .correlate(e)
        .scalar_subquery()
    )
    return (
        select(
            s.c.position, e.c.at, e.c.subject, e.c.subject_id, e.c.event, e.c.actor, e.c.reason,
            t.studies.c.study_instance_uid, t.studies.c.patient_id,
            case((e.c.subject == "instance", received), else_="").label("sop_class_uid"),
        )
        .join(e, e.c.id == s.c.event_id)
        .outerjoin(t.studies, t.studies.c.id == e.c.study_id)
    )  # fmt: skip


def _with_objects(rows: Sequence[Row[Any]], objects: dict[str, tuple[str, str]]) -> Iterable[Entry]:
    for row in rows:
        values = {name: value or "" for name, value in row._mapping.items()}  # noqa: SLF001 - SQLAlchemy's public name
        uid = row.subject_id if row.subject == "instance" else ""
        if row.subject == "delivery":
            values["sop_class_uid"], uid = objects.get(row.subject_id.split(" ")[0], ("", ""))
        yield Entry(**{**values, "at": row.at, "sop_instance_uid": uid})
