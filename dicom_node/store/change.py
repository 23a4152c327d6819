"""One delivery advanced under its state, with its event row."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select, update

from dicom_node.domain.delivery import DeliveryEvent, DeliveryState, advance
from dicom_node.store import events
from dicom_node.store import tables as t


def change_delivery(
    connection: Connection,
    row: Row[tuple[object, ...]],
    event: DeliveryEvent,
    at: float,
    *,
    reason: str,
    actor: str = "deliver",
    **values: Any,  # noqa: ANN401 - columns of the row
) -> DeliveryState:
    """Advance one delivery under its state, with its event row."""
    state = advance(DeliveryState(row.state), event)
    connection.execute(
        update(t.deliveries)
        .where(t.deliveries.c.id == row.id, t.deliveries.c.state == row.state)
        .values(**{"reason": reason, **values, "state": state.value, "updated_at": at})
    )
    study_id = connection.execute(
        select(t.jobs.c.study_id).where(t.jobs.c.id == row.job_id)
    ).scalar_one()
    events.record(
        connection,
        at=at,
        study_id=study_id,
        subject="delivery",
        subject_id=f"{row.id} {row.destination}"[:64],
        event=event.value,
        from_state=row.state,
        to_state=state.value,
        reason=reason,
        actor=actor,
    )
    return state
