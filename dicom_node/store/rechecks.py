"""The ledger's record of whose study a destination says it is: objects held, objects restamped."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Row, func, select, update

from dicom_node.domain.delivery import ARRIVED, TO_SEND, DeliveryEvent, DeliveryState
from dicom_node.store import tables as t
from dicom_node.store.change import change_delivery
from dicom_node.store.database import Database, now

_MAY_BE_THERE = {state.value for state in ARRIVED | {DeliveryState.SENT, DeliveryState.UNKNOWN}}
_REACHED = (DeliveryEvent.SUCCESS.value, DeliveryEvent.NO_ANSWER.value)


class RecheckLedger:
    """What asking a destination about a study reads and writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def there(self, job_id: str, destination: str) -> list[str]:
        """Hashes of the job's objects that the destination has, had, or may have."""
        d, a, e = t.deliveries, t.artefacts, t.events
        with self._database.read() as connection:
            rows = connection.execute(
                select(d.c.id, d.c.state, func.coalesce(d.c.sha256, a.c.sha256).label("sha256"))
                .join(a, a.c.id == d.c.artefact_id)
                .where(d.c.job_id == job_id, d.c.destination == destination)
                .order_by(d.c.id)
            ).all()
            # A person may have sent it back to waiting: only its history knows that it was there.
            told = connection.execute(
                select(e.c.subject_id)
                .join(t.jobs, t.jobs.c.study_id == e.c.study_id)
                .where(t.jobs.c.id == job_id, e.c.subject == "delivery", e.c.event.in_(_REACHED))
            ).scalars()
            reached = {int(subject.split(" ")[0]) for subject in told}
        return [row.sha256 for row in rows if row.id in reached or row.state in _MAY_BE_THERE]

    def hold(self, job_id: str, destination: str, reason: str) -> int:
        """Hold what of a job is to be sent to a destination; how many objects.

        A person's ``resend`` lets go all of the job there, also what has arrived: none of it is
        asked about again.
        """
        with self._database.write() as connection:
            at = now(connection)
            rows = _of_job(connection, job_id, destination)
            held = [row for row in rows if DeliveryState(row.state) in TO_SEND]
            for row in held:
                change_delivery(connection, row, DeliveryEvent.HOLD, at, reason=reason)
            connection.execute(
                update(t.deliveries)
                .where(t.deliveries.c.id.in_([row.id for row in rows]))
                .values(released=1)
            )
            return len(held)

    def restamp(
        self, job_id: str, destination: str, hashes: Mapping[int, str], reason: str
    ) -> None:
        """Write down the bytes that go instead of the artefacts' own, by delivery."""
        with self._database.write() as connection:
            at = now(connection)
            for row in _of_job(connection, job_id, destination):
                if row.id in hashes:
                    change_delivery(
                        connection, row, DeliveryEvent.RESTAMP, at, reason=reason,
                        sha256=hashes[row.id],
                    )  # fmt: skip


def _of_job(connection: Connection, job_id: str, destination: str) -> list[Row[tuple[object, ...]]]:
    query = (
        select(t.deliveries)
        .where(t.deliveries.c.job_id == job_id, t.deliveries.c.destination == destination)
        .order_by(t.deliveries.c.id)
        .with_for_update()
    )
    return list(connection.execute(query).all())
