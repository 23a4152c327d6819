"""Mutated associations at a real port: the node goes on answering, and keeps nothing of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.live import batter, complaints
from tests.integration.door import Door
from tests.raw_sender import Caller, associate_rq, c_echo_rq, pdu, pdv


def test_two_hundred_sessions(tmp_path: Path) -> None:
    assert batter(tmp_path, range(200)) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_thousand_sessions(tmp_path: Path) -> None:
    assert batter(tmp_path, range(1000, 21_000)) == []


@pytest.mark.parametrize(
    "too_early",
    [pdv(c_echo_rq(), command=True, context=3), associate_rq(), pdu(6, bytes(4))],
    ids=["echo", "second request", "release response"],
)
def test_a_peer_that_goes_on_before_it_was_let_in_is_told_so(
    tmp_path: Path, too_early: bytes
) -> None:
    """Found by these sessions: accepting it then upset the state machine."""
    with complaints() as told:
        door = Door(tmp_path)
        with Caller(door.settings.port) as caller:
            caller.sock.sendall(associate_rq() + too_early)
            kinds = []
            while kind := caller.read()[0]:
                kinds.append(kind)
        row = door.row()
        door.close()
    assert told == []
    assert kinds[-1] == 7
    assert row["code"] == "breach"
