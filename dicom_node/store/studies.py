"""The ledger's open studies, and the jobs that closing them makes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, func, insert, select, update

from dicom_node.domain.identifiers import derive_id
from dicom_node.domain.instance import OWN_RESULT, InstanceHeader
from dicom_node.domain.job import JobEvent, JobState, advance
from dicom_node.domain.study import Arrival, Judgement, StudyState, Verdict
from dicom_node.errors import LedgerError
from dicom_node.store import assessments, events
from dicom_node.store import tables as t
from dicom_node.store.database import Database, now
from dicom_node.store.procedures import performed
from dicom_node.store.service_tables import procedures


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
        # Of each open study: when its last image came, how many there are, and their headers.
        self._headers: dict[int, tuple[tuple[float, int], list[InstanceHeader]]] = {}

    def open_studies(self) -> tuple[list[OpenStudy], float]:
        """Every open study, and the database's time at which they were read.

        This is asked ten times a second while images come: a few statements for all studies, and
        headers are read once more only of those to which an image has been added.
        """
        with self._database.read() as connection:
            at = now(connection)
            rows = connection.execute(_OPEN).all()
            if not rows:
                self._headers = {}
                return [], at
            arriving = set(connection.execute(_ARRIVING).scalars())
            told = set(connection.execute(_TOLD).scalars())
            marks = {row.id: (row.last_received_at, row.images) for row in rows}
            known = {
                key: found for key, found in self._headers.items() if found[0] == marks.get(key)
            }
            fresh = _headers(connection, [key for key in marks if key not in known])
            found = known | {key: (marks[key], headers) for key, headers in fresh.items()}
            self._headers = found
            return [
                OpenStudy(
                    study_id=row.id,
                    study_instance_uid=row.study_instance_uid,
                    arrival=Arrival(
                        headers=found[row.id][1],
                        first_received_at=row.opened_at,
                        last_received_at=row.last_received_at,
                        association_open=row.id in arriving,
                        reopened=row.revision > 1,
                        performed=performed(connection, row.id, row.study_instance_uid)
                        if row.id in told
                        else None,
                    ),
                    last_received_at=row.last_received_at,
                )
                for row in rows
            ], at

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


MOST_KEYS = 1000  # in one statement: databases limit its parameters
_s, _i = t.studies.c, t.instances.c
_IS_OPEN = _s.state == StudyState.OPEN.value
_KEPT = (_i.state == t.InstanceState.KEPT.value) & _i.removed_at.is_(None)
_OPEN = select(
    t.studies,
    select(func.count()).where(_i.study_id == _s.id, _KEPT).scalar_subquery().label("images"),
).where(_IS_OPEN)
_ARRIVING = (
    select(_i.study_id)
    .distinct()
    .join(t.studies, _s.id == _i.study_id)
    .join(t.associations, t.associations.c.id == _i.association_id)
    # A PACS that sends our results back, for hours perhaps, says nothing of images.
    .where(_IS_OPEN, t.associations.c.closed_at.is_(None), _i.reason != OWN_RESULT)
)
_TOLD = (
    select(_s.id)
    .join(procedures, procedures.c.study_instance_uid == _s.study_instance_uid)
    .where(_IS_OPEN)
)


def _headers(connection: Connection, study_ids: list[int]) -> dict[int, list[InstanceHeader]]:
    """Headers of the images of each study's exam."""
    found: dict[int, list[InstanceHeader]] = {key: [] for key in study_ids}
    for first in range(0, len(study_ids), MOST_KEYS):
        some = study_ids[first : first + MOST_KEYS]
        query = select(_i.study_id, _i.header).where(_i.study_id.in_(some), _KEPT)
        for row in connection.execute(query.order_by(_i.sop_instance_uid, _i.sha256)):
            found[row.study_id].append(InstanceHeader.from_json(row.header))
    return found


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
