"""The ledger's orders to fetch images of a study from a PACS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, insert, select, update

from dicom_node.domain.pull import PullEvent, PullState, advance, next_try_at
from dicom_node.store import events
from dicom_node.store import service_tables as s
from dicom_node.store import tables as t
from dicom_node.store.database import Database, now


@dataclass(frozen=True, kw_only=True)
class Order:
    """Fetch what is missing of one study from one PACS."""

    id: int
    study_instance_uid: str
    source: str  # a destination's name, or AE@host:port


class PullLedger:
    """What pulling reads and writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def order(self, study_instance_uid: str, source: str, actor: str) -> int:
        """Ask for a study; an order that waits already is not doubled. Returns the order's id."""
        p = s.pulls
        with self._database.write() as connection:
            at = now(connection)
            waiting = connection.execute(
                select(p.c.id).where(
                    p.c.study_instance_uid == study_instance_uid,
                    p.c.source == source,
                    p.c.state == PullState.ORDERED.value,
                )
            ).scalar()
            if waiting is not None:
                connection.execute(update(p).where(p.c.id == waiting).values(next_at=at))
                return int(waiting)
            key = connection.execute(
                insert(p).values(
                    study_instance_uid=study_instance_uid,
                    source=source,
                    actor=actor,
                    state=PullState.ORDERED.value,
                    next_at=at,
                    ordered_at=at,
                )
            ).inserted_primary_key
            return int((key or [0])[0])

    def order_for(self, study_instance_uid: str, source: str, last_received_at: float) -> bool:
        """Order once for all images of a study so far; whether it was ordered now."""
        p = s.pulls
        with self._database.read() as connection:
            done = exists().where(
                p.c.study_instance_uid == study_instance_uid, p.c.ordered_at >= last_received_at
            )
            if connection.execute(select(done)).scalar_one():
                return False
        self.order(study_instance_uid, source, "pull")
        return True

    def due(self) -> Order | None:
        """The order whose turn it is."""
        p = s.pulls
        with self._database.read() as connection:
            ordered = p.c.state == PullState.ORDERED.value
            query = select(p).where(ordered, p.c.next_at <= now(connection)).order_by(p.c.next_at)
            row = connection.execute(query.limit(1)).one_or_none()
        if row is None:
            return None
        return Order(id=row.id, study_instance_uid=row.study_instance_uid, source=row.source)

    def ended(self, order: Order, *, complete: bool, pulled: int, reason: str) -> PullState:
        """Note one attempt: complete, or to be tried again until it is given up."""
        p = s.pulls
        with self._database.write() as connection:
            at = now(connection)
            row = connection.execute(select(p).where(p.c.id == order.id).with_for_update()).one()
            attempts = row.attempts + 1
            next_at = None if complete else next_try_at(at, attempts, row.ordered_at)
            again = PullEvent.GAVE_UP if next_at is None else PullEvent.TRY_AGAIN
            event = PullEvent.ALL_HERE if complete else again
            state = advance(PullState(row.state), event)
            connection.execute(
                update(p)
                .where(p.c.id == order.id)
                .values(
                    state=state.value,
                    attempts=attempts,
                    next_at=next_at or at,
                    images=row.images + pulled,
                    reason=reason,
                )
            )
            study_id = connection.execute(
                select(t.studies.c.id).where(
                    t.studies.c.study_instance_uid == order.study_instance_uid
                )
            ).scalar()
            events.record(
                connection,
                at=at,
                study_id=study_id,
                subject="pull",
                subject_id=order.study_instance_uid,
                event=event.value,
                from_state=row.state,
                to_state=state.value,
                reason=f"{order.source}: {reason}",
                actor=row.actor,
            )
            return state

    def row(self, order_id: int) -> dict[str, Any]:
        """One order as people read it."""
        with self._database.read() as connection:
            query = select(s.pulls).where(s.pulls.c.id == order_id)
            return dict(connection.execute(query).one()._mapping)  # noqa: SLF001 - SQLAlchemy's public way
