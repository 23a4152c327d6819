"""What the ledger tells of workers and of exams that wait for one."""

from __future__ import annotations

import subprocess
import sys

from dicom_node.store.ledger import Ledger
from dicom_node.store.owners import is_dead, owner_name
from tests.integration.databases import let_pass
from tests.integration.ledger_acts import claim, new_job


def test_an_exam_waits_from_when_it_could_be_claimed_until_it_is(ledger: Ledger) -> None:
    workers = ledger.workers
    assert workers.unclaimed_s() == 0
    job_id = new_job(ledger)
    let_pass(ledger.database, 130)
    assert 130 <= workers.unclaimed_s() < 190
    job = claim(ledger, job_id)
    assert workers.unclaimed_s() == 0
    ledger.jobs.retry(job, "a passing fault")
    assert workers.unclaimed_s() == 0, "its time has not come yet"
    let_pass(ledger.database, 200)
    assert 150 < workers.unclaimed_s() < 260


def test_a_process_that_has_ended_is_dead_even_if_nobody_asked_for_its_status() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        owner = owner_name(process.pid)
        assert not is_dead(owner)
        process.kill()
        # Not reaped before this block ends: until then it is a zombie.
        while (state := _state(process.pid)) not in {"Z", "X"}:
            assert state
        assert is_dead(owner)


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123 - proc
        return file.read().rpartition(")")[2].split()[0]
