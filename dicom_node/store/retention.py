"""The ledger's side of removing received images: the row says so first, then the file goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, exists, func, or_, select, update

from dicom_node.domain.delivery import DeliveryState
from dicom_node.domain.job import JobState
from dicom_node.domain.study import StudyState
from dicom_node.store import events
from dicom_node.store import tables as t
from dicom_node.store.database import Database, now

_DONE = (JobState.DELIVERED.value, JobState.CONFIRMED.value)
_ON_THE_WAY = (
    DeliveryState.WAITING, DeliveryState.SENT, DeliveryState.UNKNOWN, DeliveryState.HELD,
)  # fmt: skip
BATCH = 100


@dataclass(frozen=True, kw_only=True)
class OldStudy:
    """A study whose images may be removed."""

    study_id: int
    study_instance_uid: str
    objects: int
    size: int


class RetentionLedger:
    """Only studies whose results have arrived; results and rows stay."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, keep_s: float, limit: int = BATCH) -> list[OldStudy]:
        """Studies of which nothing has changed for ``keep_s`` seconds, the oldest first."""
        with self._database.read() as connection:
            return _due(connection, keep_s, limit)

    def forget(self, study: OldStudy, keep_s: float) -> bool:
        """Mark a study's images as removed, unless it is not due any more; whether it was."""
        with self._database.write() as connection:
            connection.execute(
                select(t.studies.c.id).where(t.studies.c.id == study.study_id).with_for_update()
            )
            still = _due(connection, keep_s, 1, study.study_id)
            if not still:
                return False
            at = now(connection)
            connection.execute(
                update(t.instances)
                .where(t.instances.c.study_id == study.study_id, t.instances.c.removed_at.is_(None))
                .values(removed_at=at, erased=0)
            )
            events.record(
                connection,
                at=at,
                study_id=study.study_id,
                subject="study",
                subject_id=study.study_instance_uid,
                event="images_removed",
                from_state=StudyState.CLOSED.value,
                to_state=StudyState.CLOSED.value,
                reason=f"{still[0].objects} objects, older than storage.keep_days",
                actor="retain",
            )
            return True

    def pending(self) -> list[str]:
        """Hashes of files whose rows are marked and that may still be there, after a crash too."""
        i = t.instances
        with self._database.read() as connection:
            query = select(i.c.sha256).where(i.c.removed_at.is_not(None), i.c.erased == 0)
            return list(connection.execute(query.order_by(i.c.id)).scalars())

    def erase(self, sha256: str, unlink: Callable[[str], None]) -> bool:
        """Remove a marked file unless something needs it; whether it was removed.

        The file goes while the row is locked: an image that comes again at this moment waits, and
        its receiver then finds the file missing and asks for it once more.
        """
        i = t.instances
        marked = (i.c.sha256 == sha256) & i.c.removed_at.is_not(None) & (i.c.erased == 0)
        with self._database.write() as connection:
            if not connection.execute(select(i.c.id).where(marked).with_for_update()).all():
                return False
            needed = connection.execute(
                select(
                    or_(
                        exists().where(i.c.sha256 == sha256, i.c.removed_at.is_(None)),
                        exists().where(t.artefacts.c.sha256 == sha256),
                        exists().where(t.deliveries.c.sha256 == sha256),
                    )
                )
            ).scalar_one()
            if not needed:
                unlink(sha256)
            connection.execute(update(i).where(marked).values(erased=1))
            return not needed


def _due(
    connection: Connection, keep_s: float, limit: int, study_id: int | None = None
) -> list[OldStudy]:
    s, j, d, i = t.studies, t.jobs, t.deliveries, t.instances
    before = now(connection) - keep_s
    any_job = j.alias("any_job")
    waiting = exists().where(
        any_job.c.study_id == s.c.id,
        d.c.job_id == any_job.c.id,
        d.c.state.in_([state.value for state in _ON_THE_WAY]),
    )
    query = (
        select(s.c.id, s.c.study_instance_uid, func.count(), func.sum(i.c.size))
        .join(j, (j.c.study_id == s.c.id) & (j.c.revision == s.c.revision))
        .join(i, (i.c.study_id == s.c.id) & i.c.removed_at.is_(None))
        .where(
            s.c.state == StudyState.CLOSED.value,
            j.c.state.in_(_DONE),
            s.c.last_received_at < before,
            j.c.updated_at < before,
            ~waiting,
        )
        .group_by(s.c.id, s.c.study_instance_uid, s.c.last_received_at)
        .order_by(s.c.last_received_at)
        .limit(limit)
    )
    if study_id is not None:
        query = query.where(s.c.id == study_id)
    return [
        OldStudy(study_id=key, study_instance_uid=uid, objects=int(number), size=int(size))
        for key, uid, number, size in connection.execute(query)
    ]
