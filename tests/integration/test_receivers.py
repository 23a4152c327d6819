"""Processes that receive: limits hold over all of them, one that dies takes only its own along."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.receivers import Receivers
from dicom_node.reception import Reception
from dicom_node.store.keeping import Keeper
from dicom_node.wire.gate import Gate
from tests.mammogram_headers import mammogram
from tests.peers import free_port, wait_until
from tests.raw_sender import ASSOCIATE_AC, MG, Caller, c_store_rq, encoded, pdv
from tests.web_builders import Hospital

REJECTED = 3


class Busy:
    """A port whose connections are served by two processes."""

    def __init__(self, folder: Path) -> None:
        listener = {"port": free_port(), "processes": 2, "max_associations": 3}
        self.port = listener["port"]
        self.hospital = Hospital(folder, extra={"listener": listener})
        self.news = threading.Event()
        hospital, settings = self.hospital, self.hospital.settings
        self.gate = Gate(settings.listener)
        self.receivers = Receivers(settings, hospital.ledger, self.gate, self.news.set)
        self.receivers.start()
        self.keeper = Keeper(hospital.archive, hospital.ledger)
        self.reception = Reception(
            settings, hospital.archive, hospital.ledger, self.keeper, self.news.set,
            elsewhere=self.receivers.rows, gate=self.gate, hand=self.receivers.hand,
        )  # fmt: skip
        self.reception.port.open(self.reception.handlers)
        wait_until(lambda: len(self.pids()) == 2, "two processes")

    def pids(self) -> set[int]:
        """The processes that are up."""
        with self.receivers._lock:
            return {one.process.pid for one in self.receivers._all if one.ready.is_set()}

    def close(self) -> None:
        self.reception.port.close()
        self.receivers.stop()
        self.hospital.ledger.close()


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Busy]:
    made = Busy(tmp_path / "data")
    yield made
    made.close()


def opened(busy: Busy) -> Caller:
    caller = Caller(busy.port)
    assert caller.associate() == ASSOCIATE_AC
    return caller


def test_objects_come_through_any_of_them_and_limits_hold_over_all(busy: Busy) -> None:
    callers = [opened(busy) for _ in range(3)]
    holding = [one.connections.total() for one in busy.receivers._all]
    assert sorted(holding) == [1, 2]
    with Caller(busy.port) as fourth:
        assert fourth.associate() == REJECTED
    for number, caller in enumerate(callers):
        ds = mammogram(SOPInstanceUID=f"1.2.{number}")
        assert caller.store(f"1.2.{number}", [encoded(ds)]).status == 0
        assert caller.echo() == 0
    assert busy.news.wait(5)
    wait_until(lambda: len(busy.receivers.rows()) == 3, "what is open there")
    for caller in callers:
        caller.release()
    newest = busy.hospital.ledger.associations.newest
    wait_until(lambda: sum(r["ending"] == "released" for r in newest()) == 3, "the log")
    assert {row["code"] for row in newest()} == {"", "too_many"}
    assert len(list(busy.hospital.archive.objects.glob("*/*"))) == 3
    wait_until(lambda: not busy.gate._connections, "the gate to be free")
    assert not busy.gate._associations
    wait_until(lambda: not any(one.rows for one in busy.receivers._all), "rows to be closed")


def test_one_that_dies_is_replaced_and_its_associations_are_closed_in_the_log(busy: Busy) -> None:
    caller = opened(busy)
    caller.sock.sendall(pdv(c_store_rq(MG, "1.2.3"), command=True))
    caller.sock.sendall(pdv(bytes(5000), command=False, last=False))
    spool = busy.hospital.archive.spool
    wait_until(lambda: list(spool.iterdir()), "an object that comes")
    before = busy.pids()
    (victim,) = wait_until(
        lambda: [one.process.pid for one in busy.receivers._all if one.rows], "its row"
    )
    os.kill(victim, signal.SIGKILL)
    assert caller.read() == (0, b"")

    def closed() -> bool:
        (row,) = busy.hospital.ledger.associations.newest()
        return bool(row["ending"] == "node restarted")

    wait_until(closed, "its association to be closed")
    assert not busy.gate._connections
    assert not busy.gate._associations
    after = wait_until(lambda: pids if len(pids := busy.pids()) == 2 else None, "another one")
    assert len(before & after) == 1
    # What it left in the spool is swept, as after any crash.
    assert busy.hospital.archive.sweep() == 1
    again = opened(busy)
    assert again.store("1.2.4", [encoded(mammogram(SOPInstanceUID="1.2.4"))]).status == 0
    again.release()


def test_they_end_by_themselves_when_the_node_is_gone(busy: Busy) -> None:
    processes = [one.process for one in busy.receivers._all]
    busy.receivers._stopping = True
    for one in list(busy.receivers._all):
        one.channel.close()
    assert [process.wait(20) for process in processes] == [1, 1]
