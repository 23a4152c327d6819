"""The ledger as people look at it: studies with their state, and everything about one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select

from dicom_node.domain.delivery import DeliveryState
from dicom_node.domain.instance import InstanceHeader
from dicom_node.domain.procedure import Performed
from dicom_node.domain.study import GridCell, StudyState, grid, waiting_for
from dicom_node.store import service_tables as s
from dicom_node.store import tables as t
from dicom_node.store.database import Database
from dicom_node.store.procedures import performed
from dicom_node.store.studies import kept_instances


@dataclass(frozen=True, kw_only=True)
class StudyLine:
    """One study in the list."""

    study_instance_uid: str
    patient_id: str
    accession_number: str
    calling_ae: str
    called_ae: str  # which of our AE titles; empty where it is not known
    images: int
    state: str  # of the study while it waits, of its newest job afterwards
    reason: str
    revision: int
    last_received_at: float


@dataclass(frozen=True, kw_only=True)
class StudySheet:
    """Everything about one study."""

    line: StudyLine
    cells: tuple[GridCell, ...]
    instances: tuple[dict[str, Any], ...]
    jobs: tuple[dict[str, Any], ...]
    artefacts: tuple[dict[str, Any], ...]
    deliveries: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]
    performed: Performed | None = None  # what the modality says it made


class Overview:
    """What the page, the command line and the metrics read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def studies(self, limit: int = 100) -> list[StudyLine]:
        """The newest studies first."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.studies).order_by(t.studies.c.last_received_at.desc()).limit(limit)
            ).all()
            return [_line(connection, row) for row in rows]

    def find(self, text: str) -> list[str]:
        """Study Instance UIDs by UID, accession number or Patient ID."""
        with self._database.read() as connection:
            query = (
                select(t.studies.c.study_instance_uid)
                .where(
                    or_(
                        t.studies.c.study_instance_uid == text,
                        t.studies.c.accession_number == text,
                        t.studies.c.patient_id == text,
                    )
                )
                .order_by(t.studies.c.last_received_at.desc())
            )
            return list(connection.execute(query).scalars())

    def sheet(self, study_instance_uid: str, expected: Sequence[str]) -> StudySheet | None:
        """Everything about one study, or ``None`` when nothing of it ever came."""
        with self._database.read() as connection:
            row = connection.execute(
                select(t.studies).where(t.studies.c.study_instance_uid == study_instance_uid)
            ).one_or_none()
            if row is None:
                return None
            headers = [
                header for _, _, header in kept_instances(connection, row.id, removed_too=True)
            ]
            return StudySheet(
                line=_line(connection, row),
                cells=grid(headers, expected),
                instances=_instances(connection, row.id),
                jobs=_rows(
                    connection,
                    select(t.jobs).where(t.jobs.c.study_id == row.id).order_by(t.jobs.c.revision),
                ),
                artefacts=_rows(
                    connection,
                    select(t.artefacts, t.jobs.c.revision)
                    .join(t.jobs, t.jobs.c.id == t.artefacts.c.job_id)
                    .where(t.jobs.c.study_id == row.id)
                    .order_by(t.jobs.c.revision, t.artefacts.c.id),
                ),
                deliveries=_deliveries(connection, row.id),
                events=_rows(
                    connection,
                    select(t.events).where(t.events.c.study_id == row.id).order_by(t.events.c.id),
                ),
                performed=performed(connection, row.id, study_instance_uid),
            )

    def artefact_hash(self, study_uid: str, job_id: str, role: str, key: str) -> str | None:
        """Hash of one artefact of a study's job, or ``None``."""
        with self._database.read() as connection:
            query = (
                select(t.artefacts.c.sha256)
                .join(t.jobs, t.jobs.c.id == t.artefacts.c.job_id)
                .join(t.studies, t.studies.c.id == t.jobs.c.study_id)
                .where(
                    t.studies.c.study_instance_uid == study_uid,
                    t.artefacts.c.job_id == job_id,
                    t.artefacts.c.role == role,
                    t.artefacts.c.key == key,
                )
            )
            found = connection.execute(query).scalar_one_or_none()
            return None if found is None else str(found)

    def counts(self) -> dict[str, dict[str, int]]:
        """How many rows stand in which state, by table: for the metrics and the page's head.

        ``"files"`` are those of rows that are missing or have changed.
        """
        with self._database.read() as connection:
            tables = {
                "instances": t.instances, "studies": t.studies, "jobs": t.jobs,
                "deliveries": t.deliveries, "promises": s.promises, "pulls": s.pulls,
                "procedures": s.procedures,
            }  # fmt: skip
            files: Counter[str] = Counter()
            for table in (t.instances, t.artefacts):
                query = select(table.c.fault, func.count()).where(table.c.fault != "")
                for fault, number in connection.execute(query.group_by(table.c.fault)):
                    files[str(fault)] += int(number)
            states = {
                name: {
                    str(state): int(number)
                    for state, number in connection.execute(
                        select(table.c.state, func.count()).group_by(table.c.state)
                    )
                }
                for name, table in tables.items()
            }
            return states | {"files": dict(files)}


def _line(connection: Connection, study: Row[tuple[Any, ...]]) -> StudyLine:
    images = connection.execute(
        select(func.count()).where(
            t.instances.c.study_id == study.id,
            t.instances.c.state != t.InstanceState.IGNORED.value,
        )
    ).scalar_one()
    job = connection.execute(
        select(t.jobs)
        .where(t.jobs.c.study_id == study.id)
        .order_by(t.jobs.c.revision.desc())
        .limit(1)
    ).one_or_none()
    state, reason = study.state, study.reason
    if study.state == StudyState.OPEN.value:
        headers: list[InstanceHeader] = [h for _, _, h in kept_instances(connection, study.id)]
        reason = waiting_for(headers, ())
    elif job is not None:
        state = job.state
        reason = "; ".join(filter(None, (job.reason, _complaint(connection, job.id))))
    elif study.state == StudyState.CLOSED.value:
        state = "ignored"
    return StudyLine(
        study_instance_uid=study.study_instance_uid,
        patient_id=study.patient_id,
        accession_number=study.accession_number,
        calling_ae=study.calling_ae,
        called_ae=study.called_ae,
        images=int(images),
        state=str(state),
        reason=str(reason),
        revision=study.revision,
        last_received_at=study.last_received_at,
    )


def _complaint(connection: Connection, job_id: str) -> str:
    """What a person should know of a job's deliveries and its state does not say; held first."""
    d, told = t.deliveries, [DeliveryState.HELD.value, DeliveryState.REPLACED.value]
    row = connection.execute(
        select(d.c.destination, d.c.reason)
        .where(d.c.job_id == job_id, d.c.state.in_(told))
        .order_by(d.c.state, d.c.id)
        .limit(1)
    ).one_or_none()
    return "" if row is None else f"{row.destination}: {row.reason}"


def _rows(connection: Connection, query: Any) -> tuple[dict[str, Any], ...]:  # noqa: ANN401 - any SELECT
    return tuple(dict(row._mapping) for row in connection.execute(query))  # noqa: SLF001 - SQLAlchemy's public name


def _instances(connection: Connection, study_id: int) -> tuple[dict[str, Any], ...]:
    rows = connection.execute(
        select(t.instances)
        .where(t.instances.c.study_id == study_id)
        .order_by(t.instances.c.received_at, t.instances.c.id)
    )
    return tuple(
        {
            **dict(row._mapping),  # noqa: SLF001 - SQLAlchemy's public name
            "header": InstanceHeader.from_json(row.header),
        }
        for row in rows
    )


def _deliveries(connection: Connection, study_id: int) -> tuple[dict[str, Any], ...]:
    return _rows(
        connection,
        select(
            t.deliveries,
            t.artefacts.c.role,
            t.artefacts.c.key,
            t.artefacts.c.sop_instance_uid,
            t.jobs.c.revision,
        )
        .join(t.artefacts, t.artefacts.c.id == t.deliveries.c.artefact_id)
        .join(t.jobs, t.jobs.c.id == t.deliveries.c.job_id)
        .where(t.jobs.c.study_id == study_id)
        .order_by(t.deliveries.c.id),
    )
