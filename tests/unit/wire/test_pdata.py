"""Fragments are put together whatever their portions, and nonsense is refused with words."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.wire.pdata import MOST_COMMAND, Breach, Fragments, Step
from tests.raw_sender import pdu, pdv

SIZE = 64


def split(content: bytes, sizes: list[int], *, command: bool) -> bytes:
    """A command or data set in fragments of these sizes, the last one of what is left."""
    out, at = b"", 0
    for size in sizes:
        if at + size >= len(content):
            break
        out += pdv(content[at : at + size], command=command, last=False)
        at += size
    return out + pdv(content[at:], command=command)


def run(stream: bytes, portions: list[int]) -> tuple[bytes, bytes]:
    """Command and data set of the only message, read through a buffer of 64 bytes."""
    fragments, memory = Fragments(1 << 20), bytearray(SIZE)
    buffer, low, high, at = memoryview(memory), 0, 0, 0
    command, got, turn = b"", b"", 0
    while True:
        rest = high - low
        buffer[:rest] = buffer[low:high]
        low, high = 0, rest
        size = min(portions[turn % len(portions)], SIZE - high, len(stream) - at)
        turn += 1
        buffer[high : high + size] = stream[at : at + size]
        at, high = at + size, high + size
        step = None
        while step is not Step.MORE:
            step = fragments.take(buffer, low, high)
            low = fragments.next
            got += bytes(buffer[fragments.start : fragments.end])
            if step is Step.COMMAND:
                command = bytes(fragments.command)
                fragments.command.clear()
                fragments.data_due = True
            elif step is Step.END:
                return command, got


sizes = st.lists(st.integers(0, 200), max_size=20)


@given(
    st.binary(max_size=100),
    st.binary(max_size=1000),
    sizes,
    sizes,
    st.lists(st.integers(1, 64), min_size=1),
)
def test_a_message_comes_out_as_it_was_whatever_its_portions(
    command: bytes, content: bytes, first: list[int], second: list[int], portions: list[int]
) -> None:
    stream = split(command, first, command=True) + split(content, second, command=False)
    assert run(stream, portions) == (command, content)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_taken_or_refused(content: bytes, data_due: bool) -> None:  # noqa: FBT001
    fragments, buffer, low = Fragments(1 << 16), memoryview(bytearray(content)), 0
    fragments.data_due = data_due
    try:
        while fragments.take(buffer, low, len(buffer)) not in {Step.MORE, Step.OTHER_PDU}:
            assert low < fragments.next <= len(buffer)
            low = fragments.next
            fragments.begin_message()
    except Breach:
        return


NONSENSE = {
    "a PDU over the limit": (pdu(4, bytes(70_000)), "A PDU of 70000 bytes; at most 65536"),
    "a PDU that claims all there is": (struct.pack(">BBI", 4, 0, 0xFFFFFFFF), "4294967295 bytes"),
    "a PDU without a fragment": (pdu(4, b""), "A PDU of 0 bytes"),
    "a fragment beyond its PDU": (pdu(4, struct.pack(">IBB", 99, 1, 3) + bytes(9)), "A PDV of 99"),
    "a fragment without a header": (pdu(4, struct.pack(">IBB", 1, 1, 3)), "A PDV of 1"),
    "rest of a PDU that is no fragment": (
        pdu(4, struct.pack(">IBB", 4, 1, 3) + bytes(2 + 3)), "A PDV of 4",
    ),
    "data without a command": (pdv(b"1234", command=False), "A data set without a command"),
    "two contexts": (
        pdv(b"12", command=True, last=False) + pdv(b"34", command=True, context=3),
        "One message in two presentation contexts",
    ),
    "an endless command": (
        b"".join(pdv(bytes(8000), command=True, last=False) for _ in range(3)),
        f"A command set of more than {MOST_COMMAND} bytes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_with_words(name: str) -> None:
    stream, words = NONSENSE[name]
    with pytest.raises(Breach, match=words):
        Fragments(1 << 16).take(memoryview(bytearray(stream)), 0, len(stream))


def test_a_second_command_before_the_data_set_is_refused() -> None:
    stream = memoryview(bytearray(pdv(b"1234", command=True)))
    fragments = Fragments(1 << 16)
    fragments.data_due = True
    with pytest.raises(Breach, match="before the data set"):
        fragments.take(stream, 0, len(stream))
