"""kill -9 while images come in: what was acknowledged is there, what was not can be sent again."""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from dicom_node.assemble import Assembler
from dicom_node.domain.study import CompletenessRule
from dicom_node.store import tables as t
from dicom_node.store.archive import Archive
from dicom_node.store.ledger import Ledger
from tests.headers import image_ds, uid
from tests.integration.databases import audit, let_pass
from tests.integration.ledger_acts import rows
from tests.integration.node_process import killable_node
from tests.peers import free_port
from tests.raw_sender import MG, Caller, c_store_rq, encoded, pdv

SENDERS, EACH, SIDE = 3, 3, 512
FRAGMENTS = SENDERS * EACH * (SIDE * SIDE * 2 // 16384)
IMAGE_TYPES = (r"ORIGINAL\PRIMARY\\\LOW_ENERGY", r"DERIVED\PRIMARY\POST_CONTRAST\SUBTRACTION")


def image(cycle: int, number: int) -> tuple[str, bytes]:
    """UID and content of one image of a cycle's study."""
    ds = image_ds(
        IMAGE_TYPES[number % 2],
        SOPInstanceUID=uid("killed", cycle, number),
        StudyInstanceUID=uid("killed", cycle),
        FrameOfReferenceUID=uid("frame", cycle),
        Rows=SIDE, Columns=SIDE, BitsAllocated=16, HighBit=11, PixelRepresentation=0,
    )  # fmt: skip
    ds.add_new("PixelData", "OW", np.random.default_rng((cycle, number)).bytes(SIDE * SIDE * 2))
    return str(ds.SOPInstanceUID), encoded(ds)


def images_of(cycle: int) -> list[tuple[str, bytes]]:
    return [image(cycle, number) for number in range(SENDERS * EACH)]


class Modality:
    """Senders that go on until the connection ends; ``moment`` comes after so many fragments."""

    def __init__(self, port: int, after: int) -> None:
        self._port = port
        self._left = after
        self._lock = threading.Lock()
        self.moment = threading.Event()
        self.acknowledged: dict[str, bytes] = {}

    def _step(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                self.moment.set()

    def send(self, images: list[tuple[str, bytes]]) -> None:
        with suppress(OSError), Caller(self._port) as caller:
            if caller.associate() != 2:
                return
            for name, content in images:
                caller.sock.sendall(pdv(c_store_rq(MG, name), command=True))
                for fragment in caller._fragments([content]):
                    caller.sock.sendall(fragment)
                    self._step()
                status = caller.answer().status
                if status == 0xFFFF:
                    return
                assert status == 0x0000, hex(status)
                self.acknowledged[name] = content
        self.moment.set()


def sent_and_killed(process: Any, port: int, cycle: int) -> dict[str, bytes]:
    """Images come in until the node is killed at some moment; what it acknowledged."""
    chance = np.random.default_rng(cycle)
    images = images_of(cycle)
    # Fragments come as head and body.
    modality = Modality(port, int(chance.integers(2 * FRAGMENTS)))
    delay_s = chance.uniform(0, 0.02) * chance.integers(2)
    with ThreadPoolExecutor(SENDERS) as pool:
        sending = [pool.submit(modality.send, images[n::SENDERS]) for n in range(SENDERS)]
        assert modality.moment.wait(60)
        time.sleep(delay_s)
        process.kill()
        for one in sending:
            one.result(60)
    return modality.acknowledged


def sent_again(port: int, cycle: int) -> dict[str, bytes]:
    """All images of a cycle sent to the node that has taken over."""
    modality = Modality(port, 10**9)
    modality.send(images_of(cycle))
    assert len(modality.acknowledged) == SENDERS * EACH
    return modality.acknowledged


def there_and_whole(folder: Path, acknowledged: dict[str, bytes]) -> None:
    """Every acknowledged object has one row and its file; nothing half-written is left."""
    archive, ledger = Archive(folder), Ledger(f"sqlite:///{folder / 'ledger.db'}")
    assert list(archive.spool.glob("*.part")) == []
    found: dict[str, list[Any]] = {}
    for row in rows(ledger, select(t.instances)):
        found.setdefault(row.sop_instance_uid, []).append(row)
    for name, content in acknowledged.items():
        (row,) = found[name]
        kept = archive.read(row.sha256)
        assert kept.endswith(content)
        assert hashlib.sha256(kept).hexdigest() == row.sha256
    ledger.close()


def no_job_twice(folder: Path, cycles: int) -> None:
    """Each study makes one job, whatever came how often."""
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    let_pass(ledger.database, 2000)
    ledger.associations.close_lost()
    Assembler(ledger, CompletenessRule(), lambda: None).tick()
    jobs = rows(ledger, select(t.jobs))
    assert len(jobs) == len({job.study_id for job in jobs}) == cycles
    assert {job.revision for job in jobs} == {1}
    audit(ledger.database)
    ledger.close()


MANY = pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])


@pytest.mark.parametrize("cycles", [6, MANY])
def test_nothing_acknowledged_is_lost(tmp_path: Path, cycles: int) -> None:
    folder, acknowledged = tmp_path / "data", {}
    for cycle in range(cycles + 1):
        port = free_port()
        # Killed is who receives, or, in turns, who has started a process for that.
        with killable_node(folder, port, cycle % 2) as process:
            there_and_whole(folder, acknowledged)
            if cycle > 0:
                there_and_whole(folder, sent_again(port, cycle - 1))
            if cycle < cycles:
                acknowledged = sent_and_killed(process, port, cycle)
    no_job_twice(folder, cycles)
