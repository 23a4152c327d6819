"""The ledger's Storage Commitment transactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, exists, insert, or_, select, update

from dicom_node.domain.delivery import TO_SEND, DeliveryState, pause
from dicom_node.domain.identifiers import derive_uid
from dicom_node.store import tables as t
from dicom_node.store.database import Database, now

ASK_AGAIN_S = 60.0  # a report may be lost: the question is put again
ASK_AGAIN_MAX_S = 900.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a destination is asked to answer for."""

    transaction_uid: str
    job_id: str
    destination: str
    references: tuple[tuple[str, str], ...]  # (SOP Class UID, SOP Instance UID)


class CommitmentLedger:
    """What confirming reads and writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, destination: str) -> list[Request]:
        """Open a new transaction for each job of which accepted objects wait for a commitment.

        An object is asked for again when a pause without a report on it is over, which grows from
        ``ASK_AGAIN_S`` to ``ASK_AGAIN_MAX_S``. A job of which an object is on its way or due now
        waits: one question for the whole set.
        """
        d = t.deliveries
        with self._database.write() as connection:
            at = now(connection)
            sibling = d.alias()
            unfinished = exists().where(
                sibling.c.job_id == d.c.job_id,
                sibling.c.destination == destination,
                sibling.c.state.in_([state.value for state in TO_SEND]),
                sibling.c.next_at <= at,
            )
            rows = connection.execute(
                select(
                    d.c.id, d.c.job_id, d.c.asked_at, d.c.asks,
                    t.artefacts.c.sop_class_uid, t.artefacts.c.sop_instance_uid,
                )
                .join(t.artefacts, t.artefacts.c.id == d.c.artefact_id)
                .join(t.jobs, t.jobs.c.id == d.c.job_id)
                .where(
                    d.c.destination == destination,
                    d.c.needs_commitment == 1,
                    d.c.state == DeliveryState.ACCEPTED.value,
                    or_(d.c.asked_at.is_(None), d.c.asked_at <= at - ASK_AGAIN_S),
                    ~unfinished,
                )
                .order_by(t.jobs.c.created_at, d.c.job_id, d.c.id)
            ).all()  # fmt: skip
            rows = [
                row
                for row in rows
                if row.asked_at is None
                or row.asked_at <= at - pause(row.asks, 0.5, ASK_AGAIN_S, ASK_AGAIN_MAX_S)
            ]
            return [
                _open(connection, job_id, destination, tuple(group), at)
                for job_id, group in groupby(rows, key=lambda row: str(row.job_id))
            ]

    def answered(self, transaction_uid: str, reason: str) -> tuple[str, str] | None:
        """Note a report; the job and destination it belongs to, or ``None`` for a stranger's."""
        with self._database.write() as connection:
            row = connection.execute(
                select(t.commitments).where(t.commitments.c.transaction_uid == transaction_uid)
            ).one_or_none()
            if row is None:
                return None
            connection.execute(
                update(t.commitments)
                .where(t.commitments.c.transaction_uid == transaction_uid)
                .values(answered_at=now(connection), reason=reason)
            )
            return str(row.job_id), str(row.destination)


def _open(
    connection: Connection,
    job_id: str,
    destination: str,
    rows: Sequence[Any],
    at: float,
) -> Request:
    """Write down one transaction, and on each of its objects when it was asked for."""
    request = Request(
        transaction_uid=derive_uid("commitment", job_id, destination, repr(at)),
        job_id=job_id,
        destination=destination,
        references=tuple((row.sop_class_uid, row.sop_instance_uid) for row in rows),
    )
    connection.execute(
        insert(t.commitments).values(
            transaction_uid=request.transaction_uid,
            job_id=job_id,
            destination=destination,
            requested_at=at,
        )
    )
    connection.execute(
        update(t.deliveries)
        .where(t.deliveries.c.id.in_([row.id for row in rows]))
        .values(asked_at=at, asks=t.deliveries.c.asks + 1)
    )
    return request
