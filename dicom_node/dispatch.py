"""Hints to the workers for jobs that may be claimed, and leases taken back from the dead."""

from __future__ import annotations

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from dicom_node.doorbell import ANALYSE_TASK, celery_app
from dicom_node.logs import logger
from dicom_node.settings import Settings
from dicom_node.store.ledger import Ledger
from dicom_node.store.owners import is_dead

LOOK_S = 0.5
QUEUE_DOWN_S = 2.0


class Dispatcher:
    """Rings for every claimable job; a lost message costs seconds, never a job."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._ledger = ledger
        self._app = celery_app(settings)
        self._log = logger("dispatch")

    def tick(self) -> float:
        """Sweep leases, then ring; seconds until the next look."""
        jobs = self._ledger.jobs
        dead = [owner for owner in jobs.owners() if is_dead(owner)]
        for job in jobs.take_back_leases(dead):
            self._log.warning("lease taken back", job=job)
        for job in jobs.give_up_exhausted():
            self._log.error("job failed", job=job, code="worker_lost")
        for job in jobs.claimable():
            try:
                self._app.send_task(ANALYSE_TASK, (job,), retry=False, ignore_result=True)
            except (OperationalError, RedisError, OSError) as error:
                self._log.warning("queue cannot be reached", reason=type(error).__name__)
                return QUEUE_DOWN_S
            jobs.mark_hinted(job)
            self._log.info("rang", job=job)
        return LOOK_S
