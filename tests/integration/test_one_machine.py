"""Parts of a one-machine node that only a real process or socket can show."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError
from redis.retry import Retry

from dicom_node import listen
from dicom_node.dispatch import QUEUE_DOWN_S, Dispatcher
from dicom_node.embedded import QueueServer
from dicom_node.errors import ConfigurationError
from dicom_node.listen import Port
from dicom_node.listener_section import Listener
from dicom_node.sections import Queue
from dicom_node.settings import MAX_SOCKET_PATH, Settings, load_settings
from dicom_node.store.folder_lock import hold
from dicom_node.store.owners import owner_name
from tests.integration.door import takes_nothing
from tests.integration.ledger_acts import new_job
from tests.peers import free_port, wait_until
from tests.web_builders import Hospital

ONCE = Retry(NoBackoff(), 0)


def settings_in(folder: Path) -> Settings:
    return load_settings(overrides={"storage": {"data_dir": str(folder), "ledger_url": ""}})


def test_a_long_data_folder_has_one_queue_for_all_its_processes(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    settings = settings_in(folder)
    assert len(str(folder)) > MAX_SOCKET_PATH
    before = settings.queue_socket
    code = "import sys; from dicom_node.settings import load_settings as l;"
    code += "print(l(overrides={'storage': {'data_dir': sys.argv[1]}}).queue_socket)"
    other = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == str(before)
    queue = QueueServer(settings)
    queue.start()
    try:
        assert Redis(unix_socket_path=str(before)).ping()
    finally:
        queue.stop()


def test_two_processes_never_share_a_data_folder(tmp_path: Path) -> None:
    held = hold(tmp_path, "node")
    code = "import sys; from pathlib import Path; from dicom_node.store.folder_lock import hold;"
    code += "hold(Path(sys.argv[1]), 'node')"
    command = [sys.executable, "-c", code, str(tmp_path)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "is in use by another node" in refused.stderr
    with pytest.raises(ConfigurationError, match="choose another folder"):
        hold(tmp_path, "node")
    held.close()
    assert subprocess.run(command, check=False).returncode == 0


def test_old_hints_do_not_pile_up_while_nobody_takes_them(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path)
    queue = QueueServer(hospital.settings)
    queue.start()
    try:
        jobs = hospital.ledger.jobs
        dispatcher = Dispatcher(hospital.settings, hospital.ledger)
        client = Redis(unix_socket_path=str(hospital.settings.queue_socket))
        job_id = new_job(hospital.ledger)
        dispatcher.tick()
        assert client.llen("cem:cem.infer") == 1
        for _ in range(3):
            let_hints_age(hospital)
            assert [hint.job_id for hint in jobs.claimable()] == [job_id]
            dispatcher.tick()
        assert client.llen("cem:cem.infer") == 1
        client.delete("cem:cem.infer")
        let_hints_age(hospital)
        dispatcher.tick()
        assert client.llen("cem:cem.infer") == 1, "a lost message is replaced"
    finally:
        queue.stop()
        hospital.ledger.close()


def test_a_queue_server_that_dies_is_started_again_with_its_messages(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    queue = QueueServer(settings)
    queue.start()
    try:
        client = Redis(unix_socket_path=str(settings.queue_socket), retry=ONCE)
        client.rpush("cem:cem.infer", "a message")
        time.sleep(1.2)  # appendfsync everysec
        os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
        wait_until(lambda: not _answers(client), "the server to die")
        queue.tick()
        assert client.lrange("cem:cem.infer", 0, -1) == [b"a message"]
    finally:
        queue.stop()
    assert not _answers(client)
    queue.tick()
    assert not _answers(client), "a server that was stopped stays stopped"


def test_a_queue_server_that_a_killed_node_left_is_not_left_again(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    left, queue = QueueServer(settings), QueueServer(settings)
    left.start()
    client = Redis(unix_socket_path=str(settings.queue_socket), retry=ONCE)
    before = client.info("server")["process_id"]
    queue.start()
    assert client.info("server")["process_id"] != before
    queue.stop()
    assert not _answers(client)


def test_the_queue_server_does_what_celery_needs_and_nothing_else(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    queue = QueueServer(settings)
    queue.start()
    try:
        client = Redis(unix_socket_path=str(settings.queue_socket), retry=ONCE)
        for forbidden in (["FLUSHALL"], ["EVAL", "return 1", "0"], ["CONFIG", "GET", "*"]):
            with pytest.raises(NoPermissionError):
                client.execute_command(*forbidden)
        with pytest.raises(NoPermissionError):
            client.set("another key", "1")
    finally:
        queue.stop()


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


@pytest.mark.timeout(60)
def test_a_queue_that_is_mute_keeps_no_lease_from_being_taken_back(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path)
    jobs = hospital.ledger.jobs
    job_id = new_job(hospital.ledger)
    with subprocess.Popen([sys.executable, "-c", ""]) as worker:
        owner = owner_name(worker.pid)
    assert jobs.claim(job_id, owner, 60) is not None
    with socket.create_server(("127.0.0.1", 0)) as mute:  # accepts, and never answers
        url = f"redis://127.0.0.1:{mute.getsockname()[1]}/0"
        settings = hospital.settings.model_copy(update={"queue": Queue(url=url)})
        assert Dispatcher(settings, hospital.ledger).tick() == QUEUE_DOWN_S
    assert [hint.job_id for hint in jobs.claimable()] == [job_id]
    hospital.ledger.close()


def let_hints_age(hospital: Hospital) -> None:
    from sqlalchemy import update

    from dicom_node.store import tables as t

    with hospital.ledger.database.write() as connection:
        connection.execute(update(t.jobs).values(hinted_at=0.0))


def test_closing_the_port_ends_associations_that_would_not_end_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listen, "DRAIN_S", 1.0)
    port = free_port()
    listener = Port(Listener(port=port), takes_nothing)
    listener.open([])
    ae = AE(ae_title="MODALITY")
    ae.add_requested_context(Verification)
    assoc = ae.associate("127.0.0.1", port, ae_title="FAPS")
    assert assoc.is_established
    closing = threading.Thread(target=listener.close)
    closing.start()
    wait_until(lambda: assoc.is_aborted, "the association to be ended", 30)
    closing.join(10)
    assert not closing.is_alive()
