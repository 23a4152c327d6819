"""Audit messages reach a syslog receiver, and none is lost while it is away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lxml import etree

from dicom_node.attest import Attester
from dicom_node.settings import Settings, default_settings
from dicom_node.store.ledger import Ledger
from tests.integration.syslog_listener import Listener, certificate
from tests.peers import wait_until

MakeListener = Callable[..., Listener]
HEADER = re.compile(
    rb"<8[45]>1 \d{4}-\d\d-\d\dT[\d:.]+\+00:00 \S+ dicom-node \d+ DICOM\+RFC3881 - \xef\xbb\xbf<"
)


@pytest.fixture
def make_listener() -> Iterator[MakeListener]:
    listeners: list[Listener] = []

    def make(*arguments: object, **values: object) -> Listener:
        listeners.append(Listener(*arguments, **values))  # type: ignore[arg-type]
        return listeners[-1]

    yield make
    for listener in listeners:
        listener.close()


@pytest.fixture
def ledger(new_sqlite_ledger: Callable[[], Ledger]) -> Iterator[Ledger]:
    made = new_sqlite_ledger()
    yield made
    made.close()


def settings(listener: Listener, transport: str, **values: object) -> Settings:
    audit = {"host": "127.0.0.1", "port": listener.port, "transport": transport, **values}
    return default_settings({"audit": audit})


def note(ledger: Ledger, number: int) -> None:
    ledger.trail.note("peer", f"peer {number}", "added", "cli ada")


def numbers(listener: Listener) -> list[int]:
    """Which of the notes have arrived, in their order."""
    found = []
    for message in listener.messages:
        assert HEADER.match(message), message[:120]
        tree = etree.fromstring(message.split(b"\xef\xbb\xbf", 1)[1])
        named = tree.find("ParticipantObjectIdentification").get("ParticipantObjectID")
        found.append(int(named.split()[1]))
    return found


@pytest.mark.parametrize("transport", ["tls", "tcp", "udp"])
def test_messages_arrive_framed_as_the_transport_wants(
    ledger: Ledger, make_listener: MakeListener, tmp_path: Path, transport: str
) -> None:
    pem = certificate(tmp_path) if transport == "tls" else None
    listener = make_listener(transport, pem)
    attester = Attester(settings(listener, transport, ca=str(pem[0]) if pem else ""), ledger)
    for number in range(3):
        note(ledger, number)
    attester.tick()
    wait_until(lambda: len(listener.messages) == 3, "three messages")
    assert numbers(listener) == [0, 1, 2]
    assert ledger.trail.backlog() == 0
    attester.close()
    assert len(listener.messages) == 3


def test_an_outage_loses_nothing(
    ledger: Ledger, make_listener: MakeListener, tmp_path: Path
) -> None:
    pem = certificate(tmp_path)
    first = make_listener("tls", pem)
    given = settings(first, "tls", ca=str(pem[0]))
    attester = Attester(given, ledger)
    note(ledger, 0)
    attester.tick()
    wait_until(lambda: first.messages, "the first message")
    first.close()
    for number in range(1, 4):
        note(ledger, number)
        pauses = attester.tick(), attester.tick()
    assert pauses[0] > 2  # it does not hammer at a closed door
    assert ledger.trail.backlog() == 3
    attester.close()  # the node is stopped and started meanwhile
    second = make_listener("tls", pem, first.port)
    restarted = Attester(given, ledger)
    restarted.tick()
    wait_until(lambda: len(second.messages) == 3, "what had waited")
    assert (numbers(first), numbers(second)) == ([0], [1, 2, 3])
    assert ledger.trail.backlog() == 0
    restarted.close()


def test_a_receiver_that_cannot_prove_who_it_is_is_told_nothing(
    ledger: Ledger, make_listener: MakeListener, tmp_path: Path
) -> None:
    folders = [tmp_path / "right", tmp_path / "wrong"]
    for folder in folders:
        folder.mkdir()
    right, wrong = (certificate(folder) for folder in folders)
    listener = make_listener("tls", wrong)
    attester = Attester(settings(listener, "tls", ca=str(right[0])), ledger)
    note(ledger, 0)
    attester.tick()
    assert (listener.messages, ledger.trail.backlog()) == ([], 1)
    attester.close()


def test_nobody_is_told_where_no_receiver_is_set(ledger: Ledger) -> None:
    attester = Attester(default_settings({}), ledger)
    note(ledger, 0)
    attester.tick()
    attester.close()
    assert ledger.chain.verify().sealed == ledger.trail.backlog() == 1
