"""A worker that dies, and one that has no model: the exam ends somewhere visible."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from redis import Redis

from tests.e2e.conftest import TOML, Hospital, MakeExam, study_of
from tests.peers import free_port, opens, storescu, wait_until

pytestmark = [pytest.mark.orthanc, pytest.mark.dcmtk]


def test_a_worker_killed_in_an_exam_is_replaced_and_the_exam_finished(
    hospital: Hospital, make_exam: MakeExam
) -> None:
    exam = make_exam(seed=5)
    study = study_of(exam)
    storescu(hospital.node.port, sorted(exam.glob("*.dcm")))
    owner = wait_until(lambda: next(iter(hospital.node.ledger.jobs.owners()), None), "a claim")
    os.kill(int(owner.split("/")[2]), signal.SIGKILL)
    sheet = hospital.node.wait_for_state(study, "confirmed", seconds=150)
    events = [row["event"] for row in sheet.events if row["subject"] == "job"]
    # Unless the kill came after the last word, the lease was taken back and the exam done again.
    assert events.count("claimed") == 1 + events.count("lease_lost")
    assert len([a for a in sheet.artefacts if a["role"] == "sr"]) == 1


def test_a_queue_server_killed_is_replaced_and_the_next_exam_finished(
    hospital: Hospital, make_exam: MakeExam
) -> None:
    client = Redis(unix_socket_path=str(hospital.node.settings.queue_socket))
    os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
    exam = make_exam(seed=5)
    storescu(hospital.node.port, sorted(exam.glob("*.dcm")))
    hospital.node.wait_for_state(study_of(exam), "confirmed", seconds=150)


def test_two_nodes_on_one_port_are_told_apart_in_words(hospital: Hospital, tmp_path: Path) -> None:
    from tests.peers import dicom_node

    config = tmp_path / "node.toml"
    config.write_text(
        TOML.format(
            port=hospital.node.port,
            http_port=free_port(),
            data=tmp_path / "data",
            pacs_port=hospital.pacs.port,
        )
    )
    assert opens(hospital.node.port)
    result = dicom_node("up", "--config", str(config))
    assert result.returncode == 1
    assert f"listener.port {hospital.node.port}" in result.stderr
    assert "choose another port" in result.stderr
