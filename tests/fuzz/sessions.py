"""Associations gone wrong: a valid one, recorded, then changed as a grammar of PDUs allows."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from itertools import pairwise
from random import Random

from tests.fuzz.seeds import data_sets
from tests.headers import uid
from tests.raw_sender import MG, Caller, associate_rq, c_echo_rq, c_store_rq, pdu, pdv

HUNG_S = 30.0
ANSWER_S = 0.1  # to damaged requests there may be none
RELEASE = pdu(5, bytes(4))
# One of each type, and some of none (PS3.8 9.3).
OTHERS = (
    pdu(2, associate_rq()[6:]), pdu(3, bytes(4)), pdu(3, b"\0\x02\x03\x02"), RELEASE,
    pdu(6, bytes(4)), pdu(7, bytes(4)), pdu(7, b"\0\0\x02\x06"), associate_rq(), pdu(4, b""),
    pdu(8, b"abcd"), pdu(0, bytes(4)), b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
)  # fmt: skip
_ODD_LENGTHS = (0, 1, 5, 6, 7, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_ODD_BYTES = (0, 1, 2, 3, 4, 5, 7, 8, 0x10, 0x20, 0x21, 0x30, 0x40, 0x50, 0x51, 0x58, 0x7F, 0xFF)
INSTANCE = uid("data set", "instance")
Pdus = list[bytes]


@cache
def _mammogram() -> bytes:
    return data_sets()[0]


def recorded(dice: Random) -> Pdus:
    """Request, echo, one small mammogram in some fragments, release."""
    content = _mammogram()
    cuts = sorted({0, len(content), *(dice.randrange(len(content)) for _ in range(2))})
    parts = [
        pdv(content[begin:end], command=False, last=end == len(content))
        for begin, end in pairwise(cuts)
    ]
    echo = pdv(c_echo_rq(), command=True, context=3)
    store = pdv(c_store_rq(MG, INSTANCE), command=True)
    return [associate_rq(), echo, store, *parts, RELEASE]


def _cut(dice: Random, pdus: Pdus) -> Pdus:
    stream = b"".join(pdus)
    return [stream[: dice.randrange(len(stream))]]


def _length(dice: Random, pdus: Pdus) -> Pdus:
    at = dice.randrange(len(pdus))
    pdus[at] = pdus[at][:2] + struct.pack(">I", dice.choice(_ODD_LENGTHS)) + pdus[at][6:]
    return pdus


def _type(dice: Random, pdus: Pdus) -> Pdus:
    at = dice.randrange(len(pdus))
    pdus[at] = bytes([dice.choice(_ODD_BYTES)]) + pdus[at][1:]
    return pdus


def _order(dice: Random, pdus: Pdus) -> Pdus:
    one, other = dice.randrange(len(pdus)), dice.randrange(len(pdus))
    if one == other:
        return [*pdus[:one], pdus[one], *pdus[one:]]
    pdus[one], pdus[other] = pdus[other], pdus[one]
    return pdus


def _left_out(dice: Random, pdus: Pdus) -> Pdus:
    del pdus[dice.randrange(len(pdus))]
    return pdus


def _put_in(dice: Random, pdus: Pdus) -> Pdus:
    pdus.insert(dice.randrange(len(pdus) + 1), dice.choice(OTHERS))
    return pdus


def _head_of_fragment(dice: Random, pdus: Pdus) -> Pdus:
    """Length, context or control of a PDV."""
    at = dice.randrange(1, len(pdus))
    content = bytearray(pdus[at])
    if len(content) >= 12:
        content[dice.randrange(6, 12)] = dice.choice(_ODD_BYTES)
    pdus[at] = bytes(content)
    return pdus


def _inside(dice: Random, pdus: Pdus) -> Pdus:
    """Any bytes behind a PDU's header: items, command elements, the object."""
    at = dice.randrange(len(pdus))
    content = bytearray(pdus[at])
    for _ in range(dice.randint(1, 4)):
        if len(content) > 6:
            content[dice.randrange(6, len(content))] = dice.choice(_ODD_BYTES)
    pdus[at] = bytes(content)
    return pdus


def _item(dice: Random, pdus: Pdus) -> Pdus:
    """A length within the request, the PDU's own length right."""
    body = bytearray(pdus[0][6:])
    if len(body) < 100:  # it has been changed before
        return pdus
    at = dice.randrange(68, len(body) - 1)
    if dice.random() < 0.5:
        body[at : at + 2] = struct.pack(">H", dice.choice(_ODD_LENGTHS) & 0xFFFF)
    else:
        body[at : at + dice.randint(0, 4)] = dice.randbytes(dice.randint(0, 4))
    pdus[0] = pdu(1, bytes(body))
    return pdus


def _command(dice: Random, pdus: Pdus) -> Pdus:
    """Bytes within a command set, the lengths around it right."""
    at = dice.choice((1, 2))
    command = bytearray(pdus[at][12:])
    begin = dice.randrange(len(command) + 1)
    command[begin : begin + dice.randint(0, 4)] = dice.randbytes(dice.randint(0, 4))
    pdus[at] = pdv(bytes(command), command=True, context=3 if at == 1 else 1)
    return pdus


CHANGES: tuple[Callable[[Random, Pdus], Pdus], ...] = (
    _cut, _length, _type, _order, _left_out, _put_in, _head_of_fragment, _inside, _item, _command,
)  # fmt: skip


def mutated(dice: Random) -> Pdus:
    """A recorded association after one to three changes."""
    pdus = recorded(dice)
    for change in dice.choices(CHANGES, k=dice.randint(1, 3)):
        if len(pdus) > 3:  # a cut leaves one, and is the last change
            pdus = change(dice, pdus)
    return pdus


def play(port: int, pdus: Sequence[bytes], dice: Random) -> None:
    """Send it, in portions of any size; the node must close the connection by itself.

    Most peers wait for an answer where one is due; some do not.

    Raises
    ------
    TimeoutError
        When the node does not close it, long after the last byte.

    """
    patient = dice.random() < 0.8
    with Caller(port, timeout_s=HUNG_S) as caller, suppress(ConnectionError):
        for content in pdus:
            _send(caller.sock, content, dice)
            if patient and _is_answered(content) and not _answered(caller.sock):
                return
        with suppress(OSError):  # it is closed already
            caller.sock.shutdown(socket.SHUT_WR)
        while caller.sock.recv(65536):
            pass


def _send(sock: socket.socket, content: bytes, dice: Random) -> None:
    while content:
        size = dice.choice((1, 7, 100, 5000, 5000))
        sock.sendall(content[:size])
        content = content[size:]


def _is_answered(content: bytes) -> bool:
    """A request for an association, an echo, the last fragment of an object."""
    if content[:1] == b"\1":
        return True
    return content[:1] == b"\4" and content[11:12] in {b"\2", b"\3"} and len(content) != _STORE


_STORE = len(pdv(c_store_rq(MG, INSTANCE), command=True))


def _answered(sock: socket.socket) -> bool:
    """Take the answer, if it comes; whether the connection is still there."""
    readable, _, _ = select.select([sock], [], [], ANSWER_S)
    return not readable or bool(sock.recv(65536))
