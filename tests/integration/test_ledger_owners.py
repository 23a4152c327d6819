"""Whose lease it is: a process that has died on this host is known at once, others' never."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from dicom_node.store.ledger import Ledger
from dicom_node.store.owners import is_dead, owner_name


def parts(owner: str) -> list[str]:
    return owner.split("/")


def test_a_process_that_runs_is_alive_and_has_one_name() -> None:
    own = owner_name(os.getpid())
    assert own == owner_name(os.getpid())
    assert not is_dead(own)
    host, boot, pid, started = parts(own)
    assert host.startswith(f"{socket.gethostname()}:")
    assert host.rpartition(":")[2].isdigit()
    assert (len(boot), pid) == (36, str(os.getpid()))
    # proc(5): clock ticks since the host began; field 22, whatever the process calls itself.
    assert 0 < int(started) < 10**12


def test_a_process_that_has_ended_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = owner_name(child.pid)
    assert not is_dead(name)
    child.communicate(b"\n")
    assert is_dead(name)
    assert parts(owner_name(child.pid))[3] == "?"


def test_a_process_is_dead_before_anybody_has_asked_how_it_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = owner_name(child.pid)
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended and stays in the list
    assert is_dead(name)
    child.wait()


def test_another_process_under_the_same_number_is_not_the_owner() -> None:
    host, boot, pid, started = parts(owner_name(os.getpid()))
    assert is_dead(f"{host}/{boot}/{pid}/{int(started) + 1}")
    assert is_dead(f"{host}/another boot/{pid}/{started}")


@pytest.mark.parametrize(
    "owner", ["another-host:1/boot/1/2", "worker", "", "a/b/c/d", "{host}/boot/no number/2"]
)
def test_of_owners_elsewhere_nothing_is_known(owner: str) -> None:
    assert not is_dead(owner.format(host=parts(owner_name(1))[0]))


def test_a_blank_in_a_name_does_not_shift_the_fields() -> None:
    renamed = "import ctypes; ctypes.CDLL(None).prctl(15, b'a ) b \\xff(', 0, 0, 0)"  # PR_SET_NAME
    code = f"{renamed}; print(1, flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    name = owner_name(child.pid)
    assert int(parts(name)[3]) > 0
    assert int(parts(name)[3]) >= int(parts(owner_name(os.getpid()))[3])
    child.communicate(b"\n")


def test_a_worker_that_was_killed_is_no_longer_at_work(ledger: Ledger) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        name = owner_name(child.pid)
        ledger.workers.say_alive(name, "faps 1")
        ledger.workers.say_alive("elsewhere/boot/1/1", "faps 1")
        assert set(ledger.workers.alive(30)) == {name, "elsewhere/boot/1/1"}
        child.kill()
    assert set(ledger.workers.alive(30)) == {"elsewhere/boot/1/1"}
