"""Requests and messages on which the library chokes: told by name, and nobody else is held up."""

from __future__ import annotations

import pytest

from tests.integration.door import MakeDoor
from tests.raw_sender import (
    ABORT,
    ASSOCIATE_AC,
    MG,
    PLAIN,
    Caller,
    associate_rq,
    c_echo_rq,
    pdu,
    pdv,
)

REJECTED = (3, b"\0\1\1\1")  # for good, by the service user, no reason given


@pytest.mark.parametrize(
    ("request_pdu", "words"),
    [
        (associate_rq([(MG, PLAIN), (MG, "")]), "without an abstract or a transfer syntax"),
        (associate_rq([("", PLAIN)]), "without an abstract or a transfer syntax"),
        (associate_rq(most=6), "A largest PDU that has no room for anything"),
    ],
)
def test_a_request_that_cannot_be_negotiated_is_rejected(
    make_door: MakeDoor, request_pdu: bytes, words: str
) -> None:
    door = make_door()
    with Caller(door.settings.port) as caller:
        caller.sock.sendall(request_pdu)
        assert caller.read() == REJECTED
    assert words in door.row()["advice"]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (pdv(c_echo_rq(field=0x0058), command=True, context=3), "A command that is none"),
        (pdv(c_echo_rq(sop_class=MG), command=True), "A C-ECHO of a SOP class other than"),
        (pdu(ABORT, b"\0\0\2\x63"), "A PDU with values that must not be"),
    ],
)
def test_a_message_that_cannot_be_read_ends_the_association(
    make_door: MakeDoor, capsys: pytest.CaptureFixture[str], message: bytes, words: str
) -> None:
    door = make_door()
    with Caller(door.settings.port) as caller:
        assert caller.associate() == ASSOCIATE_AC
        caller.sock.sendall(message)
        assert words in door.row()["advice"]
    with Caller(door.settings.port) as another:
        assert another.associate() == ASSOCIATE_AC
        assert another.echo() == 0
    assert "broken off" not in capsys.readouterr().out
