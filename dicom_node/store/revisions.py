"""The ledger's revisions of an exam: the next one by a person's wish, the one before."""

from __future__ import annotations

from sqlalchemy import Connection, Row, exists, func, select, update

from dicom_node.domain.job import NEEDS_A_PERSON, Job, JobEvent, JobState
from dicom_node.domain.study import StudyState
from dicom_node.errors import LedgerError
from dicom_node.store import assessments
from dicom_node.store import tables as t
from dicom_node.store.database import Database, now
from dicom_node.store.jobs import Artefact, change_job
from dicom_node.store.studies import kept_instances, locked_study, make_job


class RevisionLedger:
    """What a person asks for of an exam, with what a new revision of it follows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rerun(self, study_instance_uid: str, actor: str) -> str:
        """Queue a study again; the job's id.

        A job that was held, or ended without any result, is put back in the queue. One that has
        results is followed by a new revision: what was stored once never changes. A person's
        word ends a hold.

        Raises
        ------
        LedgerError
            When the study is unknown, or still waits or is being analysed.

        """
        with self._database.write() as connection:
            study = locked_study(connection, study_instance_uid)
            return _rerun(connection, study, now(connection), actor)

    def assess(
        self, study_instance_uid: str, laterality: str, category: str, actor: str
    ) -> str | None:
        """Write the radiologist's BI-RADS category of a breast; the job that will answer to it.

        A study that was analysed is followed by a new revision. ``None`` when nothing is to be
        done: the category is known already, or the study still waits for images.

        Raises
        ------
        LedgerError
            When the study is unknown, or is being analysed: nothing is written then.

        """
        with self._database.write() as connection:
            at = now(connection)
            study = locked_study(connection, study_instance_uid)
            changed = assessments.record(
                connection, study.id, [(laterality, category)], source="", actor=actor, at=at
            )
            if not changed or study.state == StudyState.OPEN.value:
                return None
            return _rerun(connection, study, at, actor)

    def predecessors(self, job: Job) -> list[Artefact]:
        """DICOM results of the newest earlier revision that has any, in the order of making."""
        a, j = t.artefacts, t.jobs
        with self._database.read() as connection:
            own = select(j.c.study_id).where(j.c.id == job.id).scalar_subquery()
            earlier = (
                select(func.max(j.c.revision))
                .join(a, a.c.job_id == j.c.id)
                .where(j.c.study_id == own, j.c.revision < job.revision, a.c.sop_instance_uid != "")
                .scalar_subquery()
            )
            rows = connection.execute(
                select(*(a.c[name] for name in Artefact.__dataclass_fields__))
                .join(j, j.c.id == a.c.job_id)
                .where(j.c.study_id == own, j.c.revision == earlier, a.c.sop_instance_uid != "")
                .order_by(a.c.id)
            )
            return [Artefact(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name

    def newest_job(self, study_instance_uid: str) -> str | None:
        """Id of the study's newest job."""
        with self._database.read() as connection:
            found = connection.execute(
                select(t.jobs.c.id)
                .join(t.studies, t.studies.c.id == t.jobs.c.study_id)
                .where(t.studies.c.study_instance_uid == study_instance_uid)
                .order_by(t.jobs.c.revision.desc())
                .limit(1)
            ).scalar_one_or_none()
            return None if found is None else str(found)


def _rerun(connection: Connection, study: Row[tuple[object, ...]], at: float, actor: str) -> str:
    uid = study.study_instance_uid
    job = connection.execute(
        select(t.jobs)
        .where(t.jobs.c.study_id == study.id, t.jobs.c.revision == study.revision)
        .with_for_update()
    ).one_or_none()
    if job is None and study.state == StudyState.OPEN.value:
        raise LedgerError(f"study {uid}: still waits for images; send them")
    if job is not None and job.state in {JobState.QUEUED.value, JobState.ANALYSING.value}:
        raise LedgerError(f"study {uid}: is {job.state} already; wait for it")
    again = job is not None and _without_results(connection, job)
    if not again and not kept_instances(connection, study.id):
        raise LedgerError(
            f"study {uid}: holds no image to analyse: none came, or storage.keep_days removed them"
        )
    revision = study.revision + (job is not None and not again)
    connection.execute(
        update(t.studies)
        .where(t.studies.c.id == study.id)
        .values(revision=revision, hold_code=None, hold_reason=None)
    )
    if job is not None and again:
        change_job(
            connection, job, JobEvent.REQUEUED, at, actor=actor, reason="by a person",
            reason_code="", attempts=0, next_at=None, hinted_at=None, planned_at=None,
            assessments=assessments.given(connection, study.id),
        )  # fmt: skip
        return str(job.id)
    return make_job(connection, study, revision, at, actor=actor)


def _without_results(connection: Connection, job: Row[tuple[object, ...]]) -> bool:
    """Whether a job ended, or was held, before anything of it was stored."""
    stored = connection.execute(select(exists().where(t.artefacts.c.job_id == job.id))).scalar_one()
    return JobState(job.state) in NEEDS_A_PERSON and not stored
