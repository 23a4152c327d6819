"""The ledger's Storage Commitment transactions."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exists, insert, select, update

from dicom_node.domain.delivery import DeliveryState
from dicom_node.domain.identifiers import derive_uid
from dicom_node.domain.job import JobState
from dicom_node.store import tables as t
from dicom_node.store.database import Database, now

ASK_AGAIN_S = 60.0  # a report may be lost: the question is put again


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
        """Open new transactions for delivered jobs whose objects wait for a commitment."""
        with self._database.write() as connection:
            at = now(connection)
            recent = exists().where(
                t.commitments.c.job_id == t.jobs.c.id,
                t.commitments.c.destination == destination,
                t.commitments.c.requested_at > at - ASK_AGAIN_S,
            )
            waiting = exists().where(
                t.deliveries.c.job_id == t.jobs.c.id,
                t.deliveries.c.destination == destination,
                t.deliveries.c.needs_commitment == 1,
                t.deliveries.c.state == DeliveryState.ACCEPTED.value,
            )
            ready = [JobState.ANALYSED, JobState.DELIVERED, JobState.UNSUITABLE, JobState.FAILED]
            jobs = connection.execute(
                select(t.jobs.c.id, t.jobs.c.created_at)
                .where(waiting, ~recent, t.jobs.c.state.in_([state.value for state in ready]))
                .order_by(t.jobs.c.created_at)
            ).all()
            requests = []
            for job in jobs:
                rows = connection.execute(
                    select(t.artefacts.c.sop_class_uid, t.artefacts.c.sop_instance_uid)
                    .join(t.deliveries, t.deliveries.c.artefact_id == t.artefacts.c.id)
                    .where(
                        t.deliveries.c.job_id == job.id,
                        t.deliveries.c.destination == destination,
                        t.deliveries.c.state == DeliveryState.ACCEPTED.value,
                    )
                ).all()
                request = Request(
                    transaction_uid=derive_uid("commitment", job.id, destination, repr(at)),
                    job_id=job.id,
                    destination=destination,
                    references=tuple((str(row[0]), str(row[1])) for row in rows),
                )
                connection.execute(
                    insert(t.commitments).values(
                        transaction_uid=request.transaction_uid,
                        job_id=job.id,
                        destination=destination,
                        requested_at=at,
                    )
                )
                requests.append(request)
            return requests

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
