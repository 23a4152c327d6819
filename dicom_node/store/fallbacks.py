"""Classes that a destination does not take, with the objects that go there instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, select

from dicom_node.domain.delivery import DeliveryEvent, DeliveryState
from dicom_node.domain.outputs import in_words
from dicom_node.store import service_tables
from dicom_node.store import tables as t
from dicom_node.store.database import Database, insert_if_absent


class FallbackLedger:
    """What is said of objects that others took the place of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self) -> dict[tuple[str, str], int]:
        """How many objects were replaced, by destination and role."""
        d, a = t.deliveries, t.artefacts
        with self._database.read() as connection:
            rows = connection.execute(
                select(d.c.destination, a.c.role, func.count().label("number"))
                .join(a, a.c.id == d.c.artefact_id)
                .where(d.c.state == DeliveryState.REPLACED.value)
                .group_by(d.c.destination, a.c.role)
            )
            return {(row.destination, row.role): int(row.number) for row in rows}


def is_not_taken(connection: Connection, delivery: Row[tuple[object, ...]]) -> bool:
    """Whether the destination is known not to take the object's class."""
    return connection.execute(select(_entry(delivery).exists())).scalar_one()


def do_not_take(
    connection: Connection, delivery: Row[tuple[object, ...]], reason: str, at: float
) -> None:
    """Remember that the destination does not take the object's class: its next no is final."""
    insert_if_absent(
        connection, service_tables.not_taken, destination=delivery.destination,
        sop_class_uid=_class_of(connection, delivery), reason=reason, at=at,
    )  # fmt: skip


def take(connection: Connection, delivery: Row[tuple[object, ...]]) -> None:
    """Forget it: the destination has taken one."""
    n = service_tables.not_taken
    connection.execute(
        delete(n).where(
            n.c.destination == delivery.destination,
            n.c.sop_class_uid == _class_of(connection, delivery),
        )
    )


def _class_of(connection: Connection, delivery: Row[tuple[object, ...]]) -> str:
    a = t.artefacts
    query = select(a.c.sop_class_uid).where(a.c.id == delivery.artefact_id)
    return str(connection.execute(query).scalar_one())


def _entry(delivery: Row[tuple[object, ...]]) -> Select[Any]:
    n, a = service_tables.not_taken, t.artefacts
    return select(n).where(
        n.c.destination == delivery.destination,
        a.c.id == delivery.artefact_id,
        n.c.sop_class_uid == a.c.sop_class_uid,
    )


def replace(
    connection: Connection,
    refused: Row[tuple[object, ...]],
    instead: Sequence[str],
    reason: str,
    at: float,
) -> tuple[DeliveryEvent, str]:
    """Plan the objects of the roles ``instead``; the event and the reason of the refused delivery.

    Call in the transaction that ends it. What goes to this destination already is left as it is.
    Where the job has none of these objects, the refusal stays one.
    """
    a = t.artefacts
    found = connection.execute(
        select(a.c.id, a.c.role)
        .where(a.c.job_id == refused.job_id, a.c.role.in_(instead), a.c.sop_instance_uid != "")
        .order_by(a.c.id)
    ).all()
    for artefact in found:
        insert_if_absent(
            connection,
            t.deliveries,
            artefact_id=artefact.id,
            job_id=refused.job_id,
            destination=refused.destination,
            needs_commitment=refused.needs_commitment,
            needs_sight=refused.needs_sight,
            released=refused.released,
            state=DeliveryState.WAITING.value,
            next_at=at,
            created_at=at,
            updated_at=at,
        )
    roles = [role for role in instead if role in {artefact.role for artefact in found}]
    if not roles:
        return DeliveryEvent.REFUSAL, reason
    return DeliveryEvent.REPLACE, f"{reason}; {in_words(roles)} sent in its place"
