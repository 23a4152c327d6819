"""One row for every change of a state: who, when, which event, why."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert

from dicom_node.store import tables as t

_INSERT = insert(t.events)


def row(
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
) -> dict[str, object]:
    """One event, not yet written."""
    return {
        "at": at,
        "study_id": study_id,
        "subject": subject,
        "subject_id": subject_id,
        "event": event,
        "from_state": from_state,
        "to_state": to_state,
        "reason": reason,
        "actor": actor,
    }


def record(connection: Connection, **values: Any) -> None:  # noqa: ANN401 - as row has them
    """Write one event in the transaction of the change it tells of."""
    connection.execute(_INSERT, [row(**values)])


def record_all(connection: Connection, rows: list[dict[str, object]]) -> None:
    """Write events in their order."""
    if rows:
        connection.execute(_INSERT, rows)
