"""The gate's counts: who is one too many is told which limit, its value, its setting."""

from __future__ import annotations

from dicom_node.listener_section import Listener
from dicom_node.wire.gate import REMEMBERED, SPARE, SPARE_OF_ADDRESS, Gate


class Clock:
    """Time that the test lets pass."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_address_has_its_share_and_others_still_come_in() -> None:
    gate = Gate(Listener(max_associations=6, max_per_address=4))
    assert [gate.seat("a") for _ in range(4)] == [""] * 4
    assert gate.seat("a") == "4 associations of this address were open (listener.max_per_address)"
    assert gate.seat("b") == gate.seat("b") == ""
    assert gate.seat("c") == "6 associations were open (listener.max_associations)"
    gate.unseat("a")
    assert gate.seat("c") == ""


def test_sixteen_associations_of_one_archive_come_in_by_default() -> None:
    gate = Gate(Listener())
    assert [gate.seat("pacs") for _ in range(16)] == [""] * 16


def test_connections_have_room_to_be_told_that_they_are_too_many() -> None:
    gate = Gate(Listener(max_associations=4, max_per_address=2))
    most = 2 + SPARE_OF_ADDRESS
    assert [gate.enter("a") for _ in range(most)] == [""] * most
    assert "listener.max_per_address" in gate.enter("a")
    gate.leave("a")
    assert gate.enter("a") == ""
    rest = 4 + SPARE - most
    assert [gate.enter(str(number)) for number in range(rest)] == [""] * rest
    assert "listener.max_associations" in gate.enter("b")


def test_a_storm_is_let_through_and_a_flood_is_not() -> None:
    clock = Clock()
    gate = Gate(Listener(accepts_per_s=5, max_associations=200, max_per_address=200), clock)
    assert [gate.enter("a") for _ in range(50)] == [""] * 50
    assert gate.enter("a") == (
        "More than 5 connections a second came from this address (listener.accepts_per_s)"
    )
    assert gate.enter("b") == ""
    clock.now = 1.0
    assert [bool(gate.enter("a")) for _ in range(6)] == [False] * 5 + [True]


def test_one_that_ends_makes_room_for_one() -> None:
    gate = Gate(Listener(max_associations=8, max_per_address=2))
    assert gate.seat("a") == gate.seat("a") == ""
    gate.unseat("a")
    assert [bool(gate.seat("a")) for _ in range(2)] == [False, True]


def test_a_flood_of_addresses_fills_no_memory() -> None:
    gate = Gate(Listener())
    remembered = []
    for number in range(REMEMBERED + 2):
        gate.enter(str(number))
        remembered.append(len(gate._left))
    assert max(remembered) == REMEMBERED


def test_counts_end_where_they_began() -> None:
    gate = Gate(Listener())
    gate.enter("a")
    gate.seat("a")
    gate.unseat("a")
    gate.leave("a")
    assert not gate._connections
    assert not gate._associations
