"""A storm of senders at one port: all are served in the end, and nobody else is shut out."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

from pydicom.dataset import Dataset
from sqlalchemy import func, select

from dicom_node.store import tables as t
from tests.integration.door import MakeDoor
from tests.mammogram_headers import mammogram
from tests.raw_sender import ASSOCIATE_AC, Caller, associate_rq, encoded

SENDERS, OBJECTS, HOSTS = 64, 4, 8
REJECTED = 3
TRANSIENT = (2, 3, 2)  # result, source, reason: local limit exceeded (PS3.8 9.3.4)
MIB = 1 << 20
ELSEWHERE = "127.0.0.99"


class Storm:
    """What all senders together met."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: Counter[object] = Counter()
        self.start = threading.Barrier(SENDERS + 1)

    def send(self, number: int) -> None:
        """Come back after each rejection, as a modality does, until everything is stored."""
        images = [mammogram(SOPInstanceUID=f"1.2.{number}.{n}") for n in range(OBJECTS)]
        self.start.wait()
        while not self._stored(f"127.0.0.{10 + number % HOSTS}", images):
            time.sleep(0.02)

    def _stored(self, source: str, images: list[Dataset]) -> bool:
        with Caller(self.port, source=source, timeout_s=60) as caller:
            caller.sock.sendall(associate_rq())
            kind, body = caller.read()
            if kind != ASSOCIATE_AC:
                self.answers[tuple(body[1:4]) if kind == REJECTED else f"PDU {kind}"] += 1
                return False
            for image in images:
                time.sleep(0.05)  # it reads its own disk: all are there at one time
                self.answers[caller.store(str(image.SOPInstanceUID), [encoded(image)]).status] += 1
            caller.release()
        return True


def peak_memory() -> int:
    """Most bytes that this process, the listener in it, ever had in memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def test_sixty_four_associations_at_once_are_all_served(make_door: MakeDoor) -> None:
    door = make_door(max_associations=32)
    before = peak_memory()
    storm = Storm(door.settings.port)
    threads = [threading.Thread(target=storm.send, args=(n,), daemon=True) for n in range(SENDERS)]
    for thread in threads:
        thread.start()
    storm.start.wait()
    echoes = 0
    while any(thread.is_alive() for thread in threads):
        with Caller(door.settings.port, source=ELSEWHERE) as caller:
            if caller.associate() == ASSOCIATE_AC:
                echoes += caller.echo() == 0
                caller.release()
        time.sleep(0.02)
    # One connection too many for the gate is closed without a word: the echo makes it 65.
    assert set(storm.answers) <= {0, TRANSIENT, "PDU 0"}, storm.answers
    assert storm.answers[TRANSIENT] > 0
    assert storm.answers[0] == SENDERS * OBJECTS
    assert echoes > 0
    with door.hospital.ledger.database.read() as connection:
        kept = connection.execute(select(func.count()).select_from(t.instances)).scalar_one()
    assert kept == SENDERS * OBJECTS
    assert peak_memory() - before < 512 * MIB
    assert not list(door.hospital.archive.spool.iterdir())
