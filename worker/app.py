"""The Celery application that ``celery -A worker.app worker`` runs."""

from __future__ import annotations

from celery import Celery
from celery.signals import worker_init, worker_process_init, worker_process_shutdown

from dicom_node.doorbell import celery_app
from dicom_node.logs import configure, guard_process
from dicom_node.settings import config_file, load_settings
from worker.tasks import desk

__all__ = ["app"]


def _make() -> Celery:
    settings = load_settings(config_file())
    configure(settings.logs.level)
    application: Celery = celery_app(settings)
    return application


app = _make()


@worker_init.connect
def _parent_begins(**_: object) -> None:
    guard_process()  # and the children that it forks


@worker_process_init.connect
def _child_begins(**_: object) -> None:
    desk().open()


@worker_process_shutdown.connect
def _child_ends(**_: object) -> None:
    desk().close()
