"""Who may come in, by title, address and called title, with the exact reason when not."""

from __future__ import annotations

import pytest

from dicom_node.domain.association import Refusal, Visit
from dicom_node.domain.peer import Peer, Stranger, checked_address, judge, lies_in, may_connect

GE = Peer(name="mammo-1", ae_title="GE1", address="10.0.3.7")
NET = Peer(name="net", ae_title="HOL", address="10.0.4.0/24", called_ae=("FAPS_TEST",))
HOST = Peer(name="host", ae_title="PACS", address="pacs.example")
PEERS = (GE, NET, HOST)


def resolve(host: str) -> frozenset[str]:
    return {"pacs.example": frozenset({"10.0.9.9"})}.get(host, frozenset())


def call(ae: str, address: str, called: str = "FAPS") -> Visit:
    return Visit(called_ae=called, calling_ae=ae, address=address)


@pytest.mark.parametrize(
    ("visit", "peer"),
    [
        (call("GE1", "10.0.3.7"), GE),
        (call("GE1", "::ffff:10.0.3.7"), GE),
        (call("HOL", "10.0.4.200", "FAPS_TEST"), NET),
        (call("PACS", "10.0.9.9"), HOST),
    ],
)
def test_a_listed_caller_comes_in(visit: Visit, peer: Peer) -> None:
    assert judge(visit, PEERS, resolve) == (peer,)


@pytest.mark.parametrize(
    ("visit", "refusal", "words"),
    [
        (call("NEW", "10.0.8.8"), Refusal.CALLER, "NEW is not on the list of peers"),
        (call("NEW", "10.0.3.7"), Refusal.CALLER, "10.0.3.7 is known as mammo-1 (GE1)"),
        (call("GE1", "10.0.3.8"), Refusal.ADDRESS, "known at 10.0.3.7, but this call came from"),
        (call("PACS", "10.0.9.8"), Refusal.ADDRESS, "known at pacs.example"),
        (
            call("HOL", "10.0.4.2"),
            Refusal.CALLED_BY_PEER,
            "may call FAPS_TEST only, and called FAPS",
        ),
        (call("GE1", "nonsense"), Refusal.ADDRESS, "came from nonsense"),
    ],
)
def test_a_stranger_is_told_the_exact_reason(visit: Visit, refusal: Refusal, words: str) -> None:
    verdict = judge(visit, PEERS, resolve)
    assert isinstance(verdict, Stranger)
    assert verdict.refusal is refusal
    assert words in verdict.words


def test_a_connection_is_closed_at_once_only_when_every_peer_has_an_address() -> None:
    assert not may_connect("10.0.8.8", PEERS, resolve)
    assert may_connect("10.0.4.1", PEERS, resolve)
    assert may_connect("10.0.8.8", (*PEERS, Peer(name="any", ae_title="X")), resolve)
    assert may_connect("10.0.8.8", (), resolve)


@pytest.mark.parametrize("text", ["10.0.3.7", "10.0.3.7/24", "fe80::/10", "::1", "a.example", ""])
def test_addresses_that_are_ones(text: str) -> None:
    assert checked_address(text) == text


@pytest.mark.parametrize("text", ["10.0.3", "10.0.3.700", "10.0.3.7/99", "a b", "-a", "x;y", "a/b"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="no IP address, network"):
        checked_address(text)


def test_ipv6_zones_do_not_matter() -> None:
    assert lies_in("fe80::1%eth0", "fe80::/10", resolve)
