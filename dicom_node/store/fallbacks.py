"""Objects that go to a destination in place of one whose class it does not take."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Row, func, select

from dicom_node.domain.delivery import DeliveryEvent, DeliveryState
from dicom_node.domain.outputs import in_words
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
