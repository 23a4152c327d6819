"""One row for every change of a state: who, when, which event, why."""

from __future__ import annotations

from sqlalchemy import Connection, insert

from dicom_node.store import tables as t


def record(
    connection: Connection,
    *,
    at: float,
    study_id: int | None,
    subject: str,
    subject_id: str,
    event: str,
    actor: str,
    from_state: str = "",
    to_state: str = "",
    reason: str = "",
) -> None:
    """Write one event in the transaction of the change it tells of."""
    connection.execute(
        insert(t.events).values(
            at=at,
            study_id=study_id,
            subject=subject,
            subject_id=subject_id,
            event=event,
            from_state=from_state,
            to_state=to_state,
            reason=reason,
            actor=actor,
        )
    )
