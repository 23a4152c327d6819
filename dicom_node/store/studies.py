"""The ledger's open studies, and the jobs that closing them makes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, exists, insert, select, update

from dicom_node.domain.identifiers import derive_id
from dicom_node.domain.instance import OWN_RESULT, InstanceHeader
from dicom_node.domain.job import JobEvent, JobState, advance
from dicom_node.domain.study import Arrival, Judgement, StudyState, Verdict
from dicom_node.errors import LedgerError
from dicom_node.store import assessments, events
from dicom_node.store import tables as t
from dicom_node.store.database import Database, now
from dicom_node.store.procedures import performed


@dataclass(frozen=True, kw_only=True)
class OpenStudy:
    """A study that still waits, with the version of it that was looked at."""

    study_id: int
    study_instance_uid: str
    arrival: Arrival
    last_received_at: float


class StudyLedger:
    """What assembling reads and writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_studies(self) -> tuple[list[OpenStudy], float]:
        """Every open study, and the database's time at which they were read."""
        with self._database.read() as connection:
            at = now(connection)
            rows = connection.execute(
                select(t.studies).where(t.studies.c.state == StudyState.OPEN.value)
            ).all()
            return [_open_study(connection, row) for row in rows], at

    def close(self, study: OpenStudy, judgement: Judgement) -> str | None:
        """Close a study by its judgement; makes the job in the same transaction.

        Returns the job's id, or ``None`` when there is nothing to analyse, or when an image came
        in since the study was looked at (then it is judged anew).
        """
        with self._database.write() as connection:
            at = now(connection)
            row = connection.execute(
                select(t.studies).where(t.studies.c.id == study.study_id).with_for_update()
            ).one()
            fresh = row.last_received_at == study.last_received_at
            if not fresh or row.state != StudyState.OPEN.value:
                return None
            # A hold says more than silence: an ignored study must not hide a conflict.
            why = row.hold_reason or judgement.reason
            connection.execute(
                update(t.studies)
                .where(t.studies.c.id == row.id)
                .values(state=StudyState.CLOSED.value, reason=why)
            )
            closed = changed(
                row.id,
                row.study_instance_uid,
                StudyState.CLOSED,
                at=at,
                reason=why,
                actor="assemble",
            )
            events.record_all(connection, [closed])
            if judgement.verdict is Verdict.IGNORE:
                return None
            hold = row.hold_code is not None or judgement.verdict is Verdict.HOLD
            code = (row.hold_code or "incomplete") if hold else ""
            return make_job(
                connection, row, row.revision, at, hold_code=code, reason=why if hold else ""
            )


def changed(
    study_id: int, uid: str, to: StudyState, *, at: float, reason: str, actor: str
) -> dict[str, object]:
    """The event of a study that is closed, or open again."""
    closed = to is StudyState.CLOSED
    return events.row(
        at=at,
        study_id=study_id,
        subject="study",
        subject_id=uid,
        event="closed" if closed else "reopened",
        from_state=(StudyState.OPEN if closed else StudyState.CLOSED).value,
        to_state=to.value,
        reason=reason,
        actor=actor,
    )


def _open_study(connection: Connection, row: Row[tuple[object, ...]]) -> OpenStudy:
    sender_connected = connection.execute(
        select(
            exists().where(
                t.instances.c.study_id == row.id,
                # A PACS that sends our results back, for hours perhaps, says nothing of images.
                t.instances.c.reason != OWN_RESULT,
                t.instances.c.association_id == t.associations.c.id,
                t.associations.c.closed_at.is_(None),
            )
        )
    ).scalar_one()
    arrival = Arrival(
        headers=[header for _, _, header in kept_instances(connection, row.id)],
        first_received_at=row.opened_at,
        last_received_at=row.last_received_at,
        association_open=bool(sender_connected),
        reopened=row.revision > 1,
        performed=performed(connection, row.id, row.study_instance_uid),
    )
    return OpenStudy(
        study_id=row.id,
        study_instance_uid=row.study_instance_uid,
        arrival=arrival,
        last_received_at=row.last_received_at,
    )


def locked_study(connection: Connection, study_instance_uid: str) -> Row[tuple[object, ...]]:
    """The study's row, for the length of the transaction; a ``LedgerError`` when it never came."""
    study = connection.execute(
        select(t.studies)
        .where(t.studies.c.study_instance_uid == study_instance_uid)
        .with_for_update()
    ).one_or_none()
    if study is None:
        raise LedgerError(f"study {study_instance_uid}: never received here")
    return study


def kept_instances(
    connection: Connection, study_id: int, *, removed_too: bool = False
) -> Sequence[tuple[int, str, InstanceHeader]]:
    """Id, hash and header of each instance that takes part in the study's exam.

    Those whose file was removed cannot be analysed again: they are for people to look at.
    """
    there = [] if removed_too else [t.instances.c.removed_at.is_(None)]
    rows = connection.execute(
        select(t.instances.c.id, t.instances.c.sha256, t.instances.c.header)
        .where(
            t.instances.c.study_id == study_id,
            t.instances.c.state == t.InstanceState.KEPT.value,
            *there,
        )
        .order_by(t.instances.c.sop_instance_uid, t.instances.c.sha256)
    )
    return [(row.id, row.sha256, InstanceHeader.from_json(row.header)) for row in rows]


def make_job(
    connection: Connection,
    study: Row[tuple[object, ...]],
    revision: int,
    at: float,
    *,
    actor: str = "assemble",
    hold_code: str = "",
    reason: str = "",
) -> str:
    """Make the job of one revision of a study, with the instances it shall read fixed now."""
    inputs = kept_instances(connection, study.id)
    categories = assessments.given(connection, study.id)
    # What a report says depends on them: another category gives other objects, with other UIDs.
    said = [f"{side} BI-RADS {category}" for side, category in categories.items()]
    hashes = "\n".join([*(sha256 for _, sha256, _ in inputs), *said])
    digest = hashlib.sha256(hashes.encode()).hexdigest()
    job_id = derive_id("job", study.study_instance_uid, str(revision))
    state = advance(JobState.QUEUED, JobEvent.HOLD) if hold_code else JobState.QUEUED
    connection.execute(
        insert(t.jobs).values(
            id=job_id,
            study_id=study.id,
            revision=revision,
            input_hash=digest,
            state=state.value,
            reason_code=hold_code,
            reason=reason,
            created_at=at,
            updated_at=at,
            seconds={},
            assessments=categories,
        )
    )
    connection.execute(
        insert(t.job_inputs), [{"job_id": job_id, "instance_id": key} for key, _, _ in inputs]
    )
    events.record(
        connection,
        at=at,
        study_id=study.id,
        subject="job",
        subject_id=job_id,
        event="created",
        to_state=state.value,
        reason=reason or f"revision {revision}, {len(inputs)} images",
        actor=actor,
    )
    return job_id
