"""The one Celery task: a message with a job's id."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from celery import shared_task

from dicom_node.domain.job import ANALYSE_TASK
from dicom_node.errors import BundleError
from dicom_node.logs import logger
from dicom_node.settings import config_file, load_settings

if TYPE_CHECKING:
    from worker.desk import Desk


@functools.cache
def desk() -> Desk:
    """The desk of this process, made on first use.

    The parent process imports this module too and must never import torch: CUDA and thread pools
    do not survive a fork. So the desk is imported by the child that needs it.
    """
    from worker.desk import Desk  # noqa: PLC0415 - see above

    return Desk(load_settings(config_file()))


@shared_task(name=ANALYSE_TASK, ignore_result=True)
def analyse_job(job_id: str) -> None:
    """Work on one job if its lease is to be had; a second message for it does nothing."""
    try:
        desk().work_on(job_id)
    except BundleError as error:
        # The job stays in the queue for a worker that is whole; the page says that none is there.
        logger("worker").error("worker not ready", code=error.code, reason=str(error))
