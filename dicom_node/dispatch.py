"""Hints to the workers for jobs that may be claimed, and leases taken back from the dead."""

from __future__ import annotations

from typing import Any

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
        self._queue = settings.queue.name
        self._log = logger("dispatch")

    def tick(self) -> float:
        """Sweep leases, then ring; seconds until the next look."""
        jobs = self._ledger.jobs
        dead = [owner for owner in jobs.owners() if is_dead(owner)]
        for job in jobs.take_back_leases(dead):
            self._log.warning("lease taken back", job=job)
        for job in jobs.give_up_exhausted():
            self._log.error("job failed", job=job, code="worker_lost")
        try:
            return self._ring()
        except (OperationalError, RedisError, OSError) as error:
            self._log.warning("queue cannot be reached", reason=type(error).__name__)
            return QUEUE_DOWN_S

    def _ring(self) -> float:
        """Ring for new jobs, and again for old ones when their messages may have been lost."""
        hints = self._ledger.jobs.claimable()
        again = [hint for hint in hints if hint.rung_before]
        lost = bool(again) and self._waiting_messages() < len(again)
        rung: list[str] = []
        try:
            for hint in hints:
                if hint.rung_before and not lost:
                    continue
                self._app.send_task(ANALYSE_TASK, (hint.job_id,), retry=False, ignore_result=True)
                rung.append(hint.job_id)
                self._log.info("rang", job=hint.job_id)
        finally:
            if rung:
                self._ledger.jobs.mark_hinted(rung)
        return LOOK_S

    def _waiting_messages(self) -> int:
        """How many messages lie in the queue: no more are added while there are enough."""
        with self._app.producer_or_acquire() as producer:
            channel: Any = producer.channel
            return int(channel.client.llen(self._queue))
