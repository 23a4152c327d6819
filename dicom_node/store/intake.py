"""The ledger's record of the instances that came."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, exists, func, insert, select, update

from dicom_node.domain.instance import OWN_RESULT, InstanceHeader
from dicom_node.domain.study import StudyState
from dicom_node.store import assessments, events
from dicom_node.store import tables as t
from dicom_node.store.database import Database, insert_if_absent, now


class Intake(enum.Enum):
    """What recording an instance amounted to; the sender gets 0x0000 for each of them."""

    NEW = "new"
    DUPLICATE = "duplicate"  # the same bytes came before: nothing to do
    IGNORED = "ignored"
    CONFLICT = "conflict"
    MISMATCH = "patient_mismatch"


@dataclass(frozen=True, kw_only=True)
class Received:
    """An instance whose file is durable, on its way into the ledger."""

    header: InstanceHeader
    sha256: str
    size: int
    association_id: int | None
    calling_ae: str


class IntakeLedger:
    """What the listener writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_instance(self, received: Received) -> Intake:
        """Make one instance part of its study; idempotent for the same bytes.

        The transaction is durable on return: only then may the sender be answered 0x0000.
        """
        header = received.header
        with self._database.write() as connection:
            at = now(connection)
            own = header.own_result or _was_made_here(connection, header.sop_instance_uid)
            # The study's row is the lock: whoever holds it sees every instance of the study.
            study = _study_of(connection, received, at, own=own)
            known = connection.execute(
                select(t.instances.c.sha256).where(
                    t.instances.c.sop_instance_uid == header.sop_instance_uid
                )
            ).scalars()
            hashes = set(known)
            if received.sha256 in hashes:
                _is_back(connection, received)
                return Intake.DUPLICATE
            intake, reason = _judge(header, study, own=own, conflict=bool(hashes))
            _insert(connection, received, study, intake, reason, at)
            if intake is not Intake.IGNORED:
                _touch(connection, study, header, intake, reason, at)
            elif header.assessments and not own and header.patient_id == study.patient_id:
                _assess(connection, study, received, at)
            return intake


def _is_back(connection: Connection, received: Received) -> None:
    """An image that had been removed for its age came again: its file is there again."""
    i = t.instances
    connection.execute(
        update(i)
        .where(
            i.c.sop_instance_uid == received.header.sop_instance_uid,
            i.c.sha256 == received.sha256,
            i.c.removed_at.is_not(None),
        )
        .values(removed_at=None, erased=0)
    )


def _was_made_here(connection: Connection, sop_instance_uid: str) -> bool:
    """Whether it is a result of ours, even if a PACS has written its own name as Manufacturer."""
    made = exists().where(t.artefacts.c.sop_instance_uid == sop_instance_uid)
    return bool(connection.execute(select(made)).scalar_one())


def _study_of(
    connection: Connection, received: Received, at: float, *, own: bool
) -> Row[tuple[object, ...]]:
    """The study's row, made when this is its first instance, locked against other receivers.

    A result of ours opens no study: where it is the first of its study, that is closed at once.
    """
    header = received.header
    query = (
        select(t.studies)
        .where(t.studies.c.study_instance_uid == header.study_instance_uid)
        .with_for_update()
    )
    is_new = insert_if_absent(
        connection,
        t.studies,
        study_instance_uid=header.study_instance_uid,
        patient_id=header.patient_id,
        accession_number=header.accession_number,
        calling_ae=received.calling_ae,
        called_ae=_called_ae(received),
        state=(StudyState.CLOSED if own else StudyState.OPEN).value,
        reason=OWN_RESULT if own else "",
        opened_at=at,
        last_received_at=at,
    )
    study = connection.execute(query).one()
    if own and is_new:
        events.record(
            connection,
            at=at,
            study_id=study.id,
            subject="study",
            subject_id=study.study_instance_uid,
            event="closed",
            from_state=StudyState.OPEN.value,
            to_state=StudyState.CLOSED.value,
            reason=OWN_RESULT,
            actor="receive",
        )
    return study


def _called_ae(received: Received) -> ColumnElement[str]:
    """Which of our AE titles the association called; none where it is not known."""
    called = select(t.associations.c.called_ae).where(
        t.associations.c.id == received.association_id
    )
    return func.coalesce(called.scalar_subquery(), "")


def _judge(
    header: InstanceHeader, study: Row[tuple[object, ...]], *, own: bool, conflict: bool
) -> tuple[Intake, str]:
    if own:
        return Intake.IGNORED, OWN_RESULT
    if header.modality != "MG":
        return Intake.IGNORED, f"modality {header.modality or 'missing'} takes no part"
    if conflict:
        return Intake.CONFLICT, "this SOP Instance UID came before with other content"
    if header.patient_id != study.patient_id:
        return Intake.MISMATCH, "the study came before with another Patient ID"
    return Intake.NEW, header.exclusion_text


def _insert(
    connection: Connection,
    received: Received,
    study: Row[tuple[object, ...]],
    intake: Intake,
    reason: str,
    at: float,
) -> None:
    states = {Intake.IGNORED: t.InstanceState.IGNORED, Intake.CONFLICT: t.InstanceState.CONFLICT}
    state = states.get(intake, t.InstanceState.KEPT)
    header = received.header
    connection.execute(
        insert(t.instances).values(
            study_id=study.id,
            association_id=received.association_id,
            sop_instance_uid=header.sop_instance_uid,
            sop_class_uid=header.sop_class_uid,
            sha256=received.sha256,
            size=received.size,
            header=header.to_json(),
            received_at=at,
            state=state.value,
            reason=reason,
        )
    )
    events.record(
        connection,
        at=at,
        study_id=study.id,
        subject="instance",
        subject_id=header.sop_instance_uid,
        event=f"received_{intake.value}",
        to_state=state.value,
        reason=reason or f"{header.kind.value}, by {header.kind_evidence}",
        actor=received.calling_ae,
    )


def _touch(
    connection: Connection,
    study: Row[tuple[object, ...]],
    header: InstanceHeader,
    intake: Intake,
    reason: str,
    at: float,
) -> None:
    """Let the study know: time, hold, and the next revision when it was closed already."""
    values: dict[str, object] = {"last_received_at": _after(study, at)}
    if intake in {Intake.CONFLICT, Intake.MISMATCH}:
        values |= {"hold_code": _HOLD_CODES[intake], "hold_reason": reason}
    # An image that no analysis may use changes no result: it does not reopen a study.
    if study.state == StudyState.CLOSED.value and header.exclusion is None:
        values |= _reopened(connection, study, "a late image", at)
    connection.execute(update(t.studies).where(t.studies.c.id == study.id).values(**values))


def _after(study: Row[tuple[object, ...]], at: float) -> float:
    """Now, and after the arrival before: by this moment ``close`` knows that something came.

    SQLite counts milliseconds, and a clock may be set back.
    """
    return max(at, float(study.last_received_at) + 1e-3)


def _assess(
    connection: Connection, study: Row[tuple[object, ...]], received: Received, at: float
) -> None:
    """Take over a report's categories; a study that was closed without them is analysed again."""
    header = received.header
    categories = [(side, category) for side, category in map(str.split, header.assessments)]
    changed = assessments.record(
        connection,
        study.id,
        categories,
        source=header.sop_instance_uid,
        actor=received.calling_ae,
        at=at,
    )
    values: dict[str, object] = {"last_received_at": _after(study, at)}
    jobs = select(t.jobs.c.id).where(t.jobs.c.study_id == study.id).limit(1)
    analysed = connection.execute(jobs).first() is not None
    if changed and analysed and study.state == StudyState.CLOSED.value:
        values |= _reopened(connection, study, "a radiologist's category", at)
    connection.execute(update(t.studies).where(t.studies.c.id == study.id).values(**values))


def _reopened(
    connection: Connection, study: Row[tuple[object, ...]], why: str, at: float
) -> dict[str, object]:
    """What reopening changes of a study's row, with its event.

    The next revision begins where there was one: a study of which no job was made has none yet.
    """
    made = exists().where(t.jobs.c.study_id == study.id, t.jobs.c.revision == study.revision)
    revision = study.revision + bool(connection.execute(select(made)).scalar_one())
    events.record(
        connection,
        at=at,
        study_id=study.id,
        subject="study",
        subject_id=study.study_instance_uid,
        event="reopened",
        from_state=StudyState.CLOSED.value,
        to_state=StudyState.OPEN.value,
        reason=f"{why}: revision {revision}",
        actor="receive",
    )
    return {"state": StudyState.OPEN.value, "revision": revision, "opened_at": at}


_HOLD_CODES = {Intake.CONFLICT: "conflicting_instance", Intake.MISMATCH: "patient_mismatch"}
