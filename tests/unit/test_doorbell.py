"""Celery as it is set up: early acknowledgement, no results, one id to a message."""

from __future__ import annotations

from pathlib import Path

import yaml

from dicom_node.doorbell import celery_app
from dicom_node.embedded import QUEUE_USER, worker_command
from dicom_node.settings import default_settings


def test_the_lease_is_the_redelivery_and_the_queue_keeps_nothing() -> None:
    conf = celery_app(default_settings({})).conf
    assert conf.task_acks_late is False
    assert conf.broker_transport_options["ack_emulation"] is False
    assert conf.result_backend is None
    assert conf.task_ignore_result is True
    assert conf.worker_prefetch_multiplier == 1
    assert conf.accept_content == ["json"]


def test_a_worker_survives_its_broker_and_a_task_does_not_hang_for_ever() -> None:
    conf = celery_app(default_settings({})).conf
    assert conf.broker_connection_max_retries is None
    assert conf.broker_connection_retry_on_startup is True
    assert conf.worker_cancel_long_running_tasks_on_connection_loss is False
    assert conf.task_time_limit == 600
    # The child loads the bundle before it says that it is up; Celery's own 4 s would kill it.
    assert conf.worker_proc_alive_timeout == 120


def test_whoever_rings_a_mute_queue_waits_for_seconds_only() -> None:
    tcp = celery_app(default_settings({"queue": {"url": "redis://127.0.0.1:1/0"}})).conf
    options = tcp.broker_transport_options
    assert options["socket_timeout"] <= 3
    assert options["socket_connect_timeout"] <= 3
    assert options["socket_keepalive"] is True
    assert options["global_keyprefix"] == "cem:"


def test_the_queue_s_users_may_do_the_same_wherever_it_runs(repository: Path) -> None:
    rights = QUEUE_USER.removeprefix("on nopass ")
    assert rights in (repository / "deploy" / "valkey.conf").read_text()
    compose = yaml.safe_load((repository / "deploy" / "compose" / "compose.yaml").read_text())
    assert rights in " ".join(compose["services"]["queue"]["command"])


def test_workers_hold_one_exam_and_say_nothing_to_each_other() -> None:
    command = worker_command()
    assert {"--pool=prefork", "--concurrency=1"} <= set(command)
    assert {"--without-gossip", "--without-mingle", "--without-heartbeat"} <= set(command)
