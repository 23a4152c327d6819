"""The ledger's record of what radiologists called a breast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, insert, select, update

from dicom_node.store import events
from dicom_node.store import tables as t


def given(connection: Connection, study_id: int) -> dict[str, str]:
    """BI-RADS category of each breast of a study, ``{"R": "4A"}``."""
    rows = connection.execute(
        select(t.assessments.c.laterality, t.assessments.c.category)
        .where(t.assessments.c.study_id == study_id)
        .order_by(t.assessments.c.laterality)
    )
    return {row.laterality: row.category for row in rows}


def record(
    connection: Connection,
    study_id: int,
    categories: Iterable[tuple[str, str]],
    *,
    source: str,
    actor: str,
    at: float,
) -> bool:
    """Write (laterality, category) as the newest word; whether anything changed.

    ``source`` is the report's SOP Instance UID, or empty for a person at the node.
    """
    known: Mapping[str, str] = given(connection, study_id)
    changed = [(side, category) for side, category in categories if known.get(side) != category]
    for side, category in changed:
        values = {"category": category, "source": source, "given_at": at}
        row = (t.assessments.c.study_id == study_id, t.assessments.c.laterality == side)
        if side in known:
            connection.execute(update(t.assessments).where(*row).values(**values))
        else:
            connection.execute(
                insert(t.assessments).values(study_id=study_id, laterality=side, **values)
            )
        events.record(
            connection,
            at=at,
            study_id=study_id,
            subject="assessment",
            subject_id=source,
            event="given",
            reason=f"{side} BI-RADS {category}",
            actor=actor,
        )
    return bool(changed)
