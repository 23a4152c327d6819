"""C-STORE on a held association, to peers that behave and to peers that do not."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.presentation import build_context

from dicom_node.associate import association
from dicom_node.destination_section import Destination
from dicom_node.push import Line, WireError, dataset_of, held
from tests.integration.post import CLASSES, Post, result
from tests.peers import free_port, wait_until
from tests.scripted_pacs import ScriptedPacs, abort, scripted_pacs, status


@contextmanager
def line_to(pacs: ScriptedPacs, answer_s: float = 20.0) -> Iterator[Line]:
    """An association with the scripted PACS, held; its first context is that of the SEG."""
    target = Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=pacs.port)
    contexts = [build_context(CLASSES[0], ExplicitVRLittleEndian)]
    with association(target, "FAPS", contexts) as assoc:
        try:
            with held(assoc, answer_s) as line:
                yield line
        finally:
            if assoc.is_established:
                assoc.abort()


@pytest.mark.parametrize("limit", [4096, 16384, 0])
def test_a_data_set_arrives_as_it_is_whatever_the_size_of_a_pdu(limit: int) -> None:
    content = result(CLASSES[0], "large", ImageComments="x" * 9_000)
    dataset = dataset_of(content)
    with scripted_pacs(classes=CLASSES) as pacs:
        pacs.limit(limit)
        with line_to(pacs) as line:
            answers = [line.store(1, CLASSES[0], f"1.2.{n}", dataset) for n in range(3)]
    assert [(one.Status, one.AffectedSOPInstanceUID) for one in answers] == [
        (0x0000, f"1.2.{n}") for n in range(3)
    ]
    assert {sha256 for _, sha256 in pacs.got} == {hashlib.sha256(dataset).hexdigest()}


def test_a_peer_that_aborts_without_an_answer_is_told_from_one_that_refuses() -> None:
    dataset = dataset_of(result(CLASSES[0], "one"))
    with scripted_pacs(status(0xA700), abort, classes=CLASSES) as pacs, line_to(pacs) as line:
        assert line.store(1, CLASSES[0], "1.2.1", dataset).Status == 0xA700
        with pytest.raises(WireError):
            line.store(1, CLASSES[0], "1.2.2", dataset)


def test_a_peer_that_never_answers_costs_the_time_that_it_is_given() -> None:
    dataset = dataset_of(result(CLASSES[0], "one"))
    asleep = threading.Event()

    def sleep(_event: object) -> int:
        asleep.wait(20)
        return 0x0000

    with scripted_pacs(sleep, classes=CLASSES) as pacs:
        with line_to(pacs, answer_s=0.3) as line, pytest.raises(WireError, match="connection lost"):
            line.store(1, CLASSES[0], "1.2.1", dataset)
        asleep.set()


def test_an_answer_without_end_is_not_read() -> None:
    dataset = dataset_of(result(CLASSES[0], "one"))
    with (
        nonsense(b"\x04\x00\xff\xff\xff\xff") as pacs,
        line_to(pacs) as line,
        pytest.raises(WireError, match="nonsense"),
    ):
        line.store(1, CLASSES[0], "1.2.1", dataset)


def test_a_kept_association_that_the_peer_ended_is_opened_anew(tmp_path: Path) -> None:
    with scripted_pacs(classes=CLASSES) as pacs:
        post = Post(tmp_path, pacs.port, keep_open_s=60)
        post.deliverer.tick()
        post.deliverer.tick()  # nothing is due: the association rests
        pacs.hang_up()
        wait_until(lambda: pacs.open_associations() == 0, "the PACS to hang up")
        post.another("two")
        post.deliverer.tick()
        post.due_now()
        post.deliverer.tick()
        assert {row["state"] for row in post.sheet().deliveries} == {"accepted"}
        assert len({uid for uid, _ in pacs.got}) == 4
        post.deliverer.close()


@contextmanager
def nonsense(answer: bytes) -> Iterator[ScriptedPacs]:
    """A PACS behind somebody who puts ``answer`` in the place of its first response."""
    with scripted_pacs(classes=CLASSES) as real:
        front = socket.create_server(("127.0.0.1", free_port()))
        thread = threading.Thread(target=_relay, args=(front, real.port, answer), daemon=True)
        thread.start()
        yield ScriptedPacs(front.getsockname()[1], [])
        front.close()
        thread.join(10)


def _relay(front: socket.socket, port: int, answer: bytes) -> None:
    """Pass on the negotiation, then answer with nonsense."""
    client, _ = front.accept()
    with client, socket.create_connection(("127.0.0.1", port)) as pacs:
        pacs.sendall(client.recv(65536))
        client.sendall(pacs.recv(65536))
        client.recv(65536)
        client.sendall(answer)
        while client.recv(65536):
            pass
