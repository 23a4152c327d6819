"""Celery as the doorbell between node and workers: a message is one job id."""

from __future__ import annotations

from typing import Any

from celery import Celery

from dicom_node.domain.job import ANALYSE_TASK
from dicom_node.settings import Settings

__all__ = ["ANALYSE_TASK", "celery_app"]

SOCKET_TIMEOUT_S = 3


def celery_app(settings: Settings) -> Celery:
    """The Celery application, the same for the side that rings and the side that answers.

    Early acknowledgement and no result backend: the lease in SQL is the redelivery, so nothing in
    Redis is worth keeping (``docs/adr/0003``).
    """
    app = Celery("faps")
    app.conf.update(
        broker_url=settings.queue_url,
        result_backend=None,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_default_queue=settings.queue.name,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        task_time_limit=600,
        worker_proc_alive_timeout=120,  # the child loads the bundle before it says it is up
        worker_max_tasks_per_child=200,
        worker_max_memory_per_child=8_000_000,  # KiB
        worker_soft_shutdown_timeout=30,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_transport_options=_transport_options(settings),
    )
    return app


def _transport_options(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "ack_emulation": False,
        "global_keyprefix": "cem:",
        "socket_timeout": SOCKET_TIMEOUT_S,
        "health_check_interval": 10,
    }
    if not settings.queue_url.startswith("redis+socket"):
        options |= {"socket_connect_timeout": SOCKET_TIMEOUT_S, "socket_keepalive": True}
    return options
