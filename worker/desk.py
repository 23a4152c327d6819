"""One worker process's work on one job at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from io import BytesIO

from pydicom import dcmread

from dicom_node.domain.job import MAX_ATTEMPTS, Job, JobEvent
from dicom_node.errors import ArchiveError, FapsNodeError, LeaseLost
from dicom_node.logs import in_words, logger
from dicom_node.settings import Settings
from dicom_node.store.archive import Archive
from dicom_node.store.jobs import Artefact, Ending
from dicom_node.store.ledger import Ledger
from dicom_node.store.owners import owner_name
from worker.analyse import analyse, report_failure
from worker.bundle import default_bundle
from worker.contracts import (
    REPORTS,
    Analysis,
    Predecessor,
    ResultObject,
    RunIdentity,
    Status,
)
from worker.decoder import decode_apart
from worker.faps.assist import require_limits
from worker.faps.predictor import Faps
from worker.load import load
from worker.reading import Source
from worker.report.seg import warm_up
from worker.watchdog import Watchdog, end_worker

SAY_ALIVE_S = 5.0
PUT_AT_ONCE = 8
_ENDINGS = {
    Status.COMPLETE: JobEvent.RESULTS_STORED,
    Status.PARTIAL: JobEvent.RESULTS_STORED,
    Status.UNSUITABLE: JobEvent.FOUND_UNSUITABLE,
    Status.FAILED: JobEvent.GAVE_UP,
}


class Desk:
    """The bundle loaded once, the ledger and archive at hand."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = logger("worker")
        self._archive = Archive(settings.data_dir)
        self._ledger = Ledger(settings.ledger_url)
        self._owner = owner_name(os.getpid())
        self._faps: Faps | None = None
        self._job: Job | None = None
        self._stop = threading.Event()
        self._watchdog = Watchdog(settings.worker.watchdog_s, self._ledger.workers.unclaimed_s)

    def open(self) -> None:
        """Load and prove the bundle, warm everything up, and say that this worker is there."""
        try:
            faps = self._bundle()
        except FapsNodeError as error:
            # Celery would only mention that a signal handler failed.
            self._log.error("worker not ready", code=error.code, reason=str(error))
            raise
        warm_up()
        decode_apart.warm_up()
        threading.Thread(target=self._keep_alive, name="heartbeat", daemon=True).start()
        self._log.info("worker ready", bundle=faps.card.name, version=faps.card.version)

    def close(self) -> None:
        """Take this worker off the list."""
        self._stop.set()
        decode_apart.close()
        self._ledger.workers.say_goodbye(self._owner)
        self._ledger.close()

    def work_on(self, job_id: str) -> None:
        """Claim a job, analyse it, store its results, advance it."""
        # Before the claim: a worker whose bundle does not load must not use up exams' attempts.
        self._bundle()
        job = self._ledger.jobs.claim(job_id, self._owner, self._settings.worker.lease_s)
        if job is None:
            self._log.info("not to be claimed", job=job_id)
            return
        self._log.info("claimed", job=job.id, attempt=job.attempts, token=job.token)
        self._job = job
        try:
            analysis, results = self._analyse(job)
            self._finish(job, analysis, results)
        except LeaseLost as error:
            self._log.warning("lease lost", job=job.id, reason=str(error))
        except Exception as error:  # noqa: BLE001 - the edge of a task: the ledger must hear of it
            self._log.error("analysis failed", job=job.id, error=error, reason=in_words(error))
            code = error.code if isinstance(error, FapsNodeError) else type(error).__name__
            self._ledger.jobs.retry(job, f"attempt {job.attempts}: {code}: {error}")
        finally:
            self._job = None

    def _analyse(self, job: Job) -> tuple[Analysis, tuple[ResultObject, ...]]:
        sources = [
            Source(header, partial(self._archive.read, sha256))
            for header, sha256 in self._ledger.jobs.inputs(job)
        ]
        run = RunIdentity(
            study_instance_uid=job.study_instance_uid,
            input_hash=job.input_hash,
            revision=job.revision,
            # In the host's zone: people read the report's time, its offset is written beside it.
            created_at=datetime.fromtimestamp(int(job.created_at), tz=UTC).astimezone(),
            categories=job.assessments if self._settings.assistance.birads else {},
            predecessors=tuple(self._predecessors(job)),
            label_maps=self._settings.label_maps,
        )
        faps = self._bundle()
        if job.attempts > MAX_ATTEMPTS:
            # The last claim only reports: whatever kills analyses of this exam is not tried again.
            reason = f"the analysis failed {MAX_ATTEMPTS} times; {job.reason}"
            return report_failure(sources, run, faps.card, "worker_lost", reason)
        return analyse(sources, run, faps, self._settings.completeness.expected_views)

    def _predecessors(self, job: Job) -> Iterator[Predecessor]:
        """Reports of the revision before, as references; the ledger does not hold their series."""
        for before in self._ledger.revisions.predecessors(job):
            if before.role not in {role.value for role in REPORTS}:
                continue
            try:
                content = self._archive.read(before.sha256)
            except ArchiveError as error:
                # A file that is lost keeps no exam from being analysed again.
                self._log.warning("predecessor not named", job=job.id, reason=str(error))
                continue
            ds = dcmread(BytesIO(content), specific_tags=["StudyInstanceUID", "SeriesInstanceUID"])
            yield Predecessor(
                role=before.role,
                key=before.key,
                study_instance_uid=str(ds.StudyInstanceUID),
                series_instance_uid=str(ds.SeriesInstanceUID),
                sop_class_uid=before.sop_class_uid,
                sop_instance_uid=before.sop_instance_uid,
            )

    def _finish(self, job: Job, analysis: Analysis, results: Sequence[ResultObject]) -> None:
        with ThreadPoolExecutor(max_workers=PUT_AT_ONCE) as pool:
            # Each waits for the disk twice: together they wait about as long as one.
            hashes = list(pool.map(lambda result: self._archive.put(result.content), results))
        artefacts = [
            Artefact(
                role=result.role.value,
                key=result.key,
                media_type=result.media_type,
                sop_class_uid=result.sop_class_uid,
                sop_instance_uid=result.sop_instance_uid,
                sha256=sha256,
                size=len(result.content),
            )
            for result, sha256 in zip(results, hashes, strict=True)
        ]
        ending = Ending(
            event=_ENDINGS[analysis.status],
            reason_code=analysis.reason_code,
            reason=analysis.reason,
            bundle=f"{analysis.card.name} {analysis.card.version}",
            seconds=analysis.seconds,
        )
        self._ledger.jobs.finish(job, artefacts, ending)
        self._log.info(
            "analysed",
            job=job.id,
            state=analysis.status.value,
            objects=len(artefacts),
            seconds=round(sum(analysis.seconds.values()), 3),
        )

    def _bundle(self) -> Faps:
        if self._faps is None:
            worker = self._settings.worker
            threads = worker.threads or os.cpu_count() or 1
            self._faps = load(
                worker.bundle or default_bundle(),
                allow_unsigned=worker.allow_unsigned,
                trusted=worker.trusted_keys,
                threads=threads,
                engine=worker.engine,
                report=self._log.info,
            )
            if self._settings.assistance.birads:
                require_limits(self._faps.card)
        return self._faps

    def _keep_alive(self) -> None:
        """Lengthen the lease and say alive, from a thread that no analysis can delay for long."""
        lease_s = self._settings.worker.lease_s
        card = self._bundle().card
        while True:
            try:
                self._ledger.workers.say_alive(self._owner, f"{card.name} {card.version}")
                job = self._job
                if job is not None:
                    self._ledger.jobs.heartbeat(job, lease_s)
                if self._watchdog.bites(busy=job is not None):
                    self._log.error("exams wait and no message comes, ending this worker")
                    end_worker()
            except Exception as error:  # noqa: BLE001 - the edge of a thread: without it leases run out
                self._log.warning("heartbeat failed", error=error, reason=in_words(error))
            if self._stop.wait(min(SAY_ALIVE_S, lease_s / 4)):
                return
