"""Sockets that mean no good: ended at once, in constant memory, while others are served."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.door import Door, MakeDoor
from tests.peers import wait_until
from tests.raw_sender import ABORT, ASSOCIATE_AC, MG, Caller, associate_rq, c_store_rq, pdv

MIB = 1 << 20
ELSEWHERE = "127.0.0.2"


def memory() -> int:
    """Bytes of this process, the listener in it, that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    """Sockets and wake-up descriptors of this process; a database's pool is not the port's."""
    kinds = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            kinds.append(str(link.readlink()))
    return sum(kind.startswith(("socket:", "anon_inode:")) for kind in kinds)


def echo(port: int, source: str = ELSEWHERE) -> int:
    with Caller(port, source=source) as caller:
        assert caller.associate() == ASSOCIATE_AC
        status = caller.echo()
        caller.release()
        return status


def pour(caller: Caller, content: bytes, size: int) -> int:
    """Send ``content`` again and again, until it is refused; bytes sent."""
    sent = 0
    with contextlib.suppress(OSError):
        while sent < size:
            caller.sock.sendall(content)
            sent += len(content)
    return sent


def closed(door: Door) -> str:
    """What the log says of a connection that ended before it said who it was."""

    def rows() -> list[str]:
        newest = door.hospital.ledger.associations.newest()
        return [str(row["advice"]) for row in newest if row["code"] == "closed"]

    (advice,) = wait_until(rows, "the row")
    return str(advice)


def test_a_giant_pdu_is_ended_in_constant_memory(make_door: MakeDoor) -> None:
    door = make_door()
    with Caller(door.settings.port) as caller:
        before = memory()
        caller.sock.sendall(struct.pack(">BBI", 1, 0, 0xFFFFFFFF))
        assert pour(caller, bytes(MIB), 256 * MIB) < 256 * MIB
        assert memory() - before < 4 * MIB
    assert "A PDU of type 01 with 4294967295 bytes" in closed(door)
    assert echo(door.settings.port) == 0


def test_bytes_that_are_no_dicom_are_told_so(make_door: MakeDoor) -> None:
    door = make_door()
    with Caller(door.settings.port) as caller:
        caller.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert caller.read()[0] == ABORT
    assert "no DICOM PDU" in closed(door)


def test_a_large_pdu_within_an_association_is_over_the_limit(make_door: MakeDoor) -> None:
    door = make_door(pdu_limit_bytes=MIB)
    with Caller(door.settings.port) as caller:
        assert caller.associate() == ASSOCIATE_AC
        caller.sock.sendall(struct.pack(">BBIIBB", 4, 0, 8 * MIB, 8 * MIB - 4, 1, 0))
        assert caller.read()[0] == ABORT
    row = door.row()
    assert (row["ending"], row["code"]) == ("protocol broken", "breach")
    assert f"A PDU of {8 * MIB} bytes; at most {MIB}" in row["advice"]


def test_a_data_set_that_never_ends_is_ended(make_door: MakeDoor) -> None:
    door = make_door(max_object_mb=32)
    with Caller(door.settings.port) as caller:
        assert caller.associate() == ASSOCIATE_AC
        before = memory()
        caller.sock.sendall(pdv(c_store_rq(MG, "1.2.3"), command=True))
        assert pour(caller, pdv(bytes(65536), command=False, last=False), 256 * MIB) < 256 * MIB
        assert memory() - before < 4 * MIB
    row = door.row()
    assert row["ending"] == "over a limit"
    assert "An object was larger than 32 MiB (listener.max_object_mb)" in row["advice"]
    wait_until(lambda: not list(door.hospital.archive.spool.iterdir()), "an empty spool")


def test_a_second_request_before_the_answer_ends_the_association(make_door: MakeDoor) -> None:
    door = make_door()
    one = pdv(c_store_rq(MG, "1.2.3"), command=True) + pdv(bytes(4096), command=False)
    with Caller(door.settings.port) as caller:
        assert caller.associate() == ASSOCIATE_AC
        pour(caller, one * 60, 1)
        assert caller.read()[0] in {ABORT, 0}
    assert "A second request before the first one was answered" in door.row()["advice"]
    wait_until(lambda: not list(door.hospital.archive.spool.iterdir()), "an empty spool")


def test_too_many_objects_end_the_association(make_door: MakeDoor) -> None:
    door = make_door(max_objects=2)
    with Caller(door.settings.port) as caller:
        assert caller.associate() == ASSOCIATE_AC
        for number in range(2):
            assert caller.store(f"1.2.{number}", [bytes(64)]).status >> 12 == 0xC
        assert caller.store("1.2.9", [bytes(64)]).comment == f"PDU type {ABORT}"
    assert "2 objects came in one association (listener.max_objects)" in door.row()["advice"]


def test_too_many_contexts_are_rejected(make_door: MakeDoor) -> None:
    door = make_door(max_contexts=2)
    contexts = [(MG, "1.2.840.10008.1.2.1")] * 3
    with Caller(door.settings.port) as caller:
        caller.sock.sendall(associate_rq(contexts))
        assert caller.read() == (3, b"\0\1\1\1")
    row = door.row()
    assert row["ending"] == "rejected"
    assert "3 presentation contexts, more than 2 (listener.max_contexts)" in row["advice"]


@pytest.mark.parametrize(
    ("limits", "begun", "words"),
    [
        ({"pdu_s": 0.3}, struct.pack(">BBIIBB", 4, 0, 100, 96, 1, 1), "listener.pdu_s"),
        ({"dimse_s": 0.3}, pdv(c_store_rq(MG, "1.2.3"), command=True), "listener.dimse_s"),
        ({"association_s": 0.3}, b"", "listener.association_s"),
    ],
    ids=["PDU", "message", "association"],
)
def test_whoever_keeps_us_waiting_is_ended(
    make_door: MakeDoor, limits: dict[str, float], begun: bytes, words: str
) -> None:
    door = make_door(**limits)
    with Caller(door.settings.port) as caller:
        assert caller.associate() == ASSOCIATE_AC
        caller.sock.sendall(begun)
        assert caller.read()[0] == ABORT
    row = door.row()
    assert (row["ending"], row["code"]) == ("over a limit", "limit")
    assert words in row["advice"]


def test_whoever_never_asks_for_an_association_is_ended(make_door: MakeDoor) -> None:
    door = make_door(acse_s=0.3)
    with Caller(door.settings.port) as caller:
        assert caller.read() == (0, b"")
    assert "No association was requested within 0.3 s (listener.acse_s)" in closed(door)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Room for both ends of many sockets in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
def test_half_open_sockets_of_one_address_keep_nobody_else_out(make_door: MakeDoor) -> None:
    door = make_door(accepts_per_s=1000, acse_s=2)
    before = threading.active_count()
    with ExitStack() as stack:
        for _ in range(400):
            caller = stack.enter_context(Caller(door.settings.port))
            with contextlib.suppress(OSError):
                caller.sock.sendall(b"\x01\x00\x00")
        assert threading.active_count() - before < 60
        assert echo(door.settings.port) == 0
        wait_until(lambda: threading.active_count() <= before, "the threads to end", 20)
    assert "16 associations of this address were open (listener.max_per_address)" in closed(door)


def test_bare_connections_leave_nothing_behind(
    make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = make_door(accepts_per_s=1000)
    collectors: list[object] = []  # peers of other tests are pynetdicom's own servers, which do
    monkeypatch.setattr(
        gc, "collect", lambda *_: collectors.append(sys._getframe(1).f_locals.get("self"))
    )
    assert echo(door.settings.port) == 0
    wait_until(lambda: not door.port._servers[0].active_associations, "quiet")
    before = threading.active_count(), descriptors()
    for _ in range(300):
        Caller(door.settings.port).sock.close()
    wait_until(lambda: threading.active_count() <= before[0], "the threads to end", 20)
    wait_until(lambda: not door.port._servers[0].gate._connections, "the gate to be free")
    wait_until(lambda: descriptors() <= before[1], "the descriptors to be closed", 5)
    assert echo(door.settings.port) == 0
    assert door.port._servers[0] not in collectors, (
        "everybody waits while the garbage of the whole process is collected"
    )


def test_a_sender_that_is_cut_off_leaves_nothing_behind(make_door: MakeDoor) -> None:
    door = make_door()
    with Caller(door.settings.port) as caller:
        assert caller.associate() == ASSOCIATE_AC
        caller.sock.sendall(pdv(c_store_rq(MG, "1.2.3"), command=True))
        caller.sock.sendall(pdv(bytes(10000), command=False, last=False))
        spool = door.hospital.archive.spool
        wait_until(lambda: list(spool.iterdir()), "a spool file")
    wait_until(lambda: not list(spool.iterdir()), "an empty spool")
    assert door.row()["ending"] == "connection lost"
