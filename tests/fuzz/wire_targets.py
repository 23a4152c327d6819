"""Fuzzed: what the port does with P-DATA and with command sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO

from pynetdicom.dsutils import decode

from dicom_node.wire.command import parse, response
from dicom_node.wire.pdata import MOST_COMMAND, P_DATA_TF, Breach, Fragments, Step

MOST_PDU = 16384


@dataclass
class Heard:
    """What came out of a stream of PDUs, and how it ended."""

    commands: list[bytes] = field(default_factory=list)
    content: bytes = b""
    breach: str = ""
    other_pdu: bool = False


def pdata(data: bytes) -> None:
    """Take PDUs apart, all at once and in portions: both must come to the same.

    The first byte says how large the portions are.
    """
    if not data:
        return
    portion, stream = data[0] + 1, data[1:]
    whole, dripped = _hear(stream, len(stream) or 1), _hear(stream, portion)
    assert whole.breach == dripped.breach
    assert whole.other_pdu == dripped.other_pdu
    assert whole.commands == dripped.commands
    if whole.breach:  # what came before it may have been handed on already
        assert dripped.content.startswith(whole.content)
    else:
        assert whole.content == dripped.content
    assert len(dripped.content) <= len(stream)


def _hear(stream: bytes, portion: int) -> Heard:
    """Listen as a connection does: what is not taken waits at the buffer's beginning."""
    heard, fragments = Heard(), Fragments(MOST_PDU)
    memory = bytearray(portion + len(stream))
    buffer, low, high = memoryview(memory), 0, 0
    for at in range(0, len(stream), portion):
        rest = high - low
        buffer[:rest] = buffer[low:high]
        part = stream[at : at + portion]
        buffer[rest : rest + len(part)] = part
        low, high = 0, rest + len(part)
        try:
            low = _take_all(fragments, buffer, high, heard)
        except Breach as breach:
            heard.breach = str(breach)
        if heard.breach or heard.other_pdu:
            break
    return heard


def _take_all(fragments: Fragments, buffer: memoryview, high: int, heard: Heard) -> int:
    low = 0
    while True:
        step = fragments.take(buffer, low, high)
        assert low <= fragments.start <= fragments.end <= fragments.next <= high
        heard.content += bytes(buffer[fragments.start : fragments.end])
        low = fragments.next
        if step is Step.COMMAND:
            heard.commands.append(bytes(fragments.command))
            fragments.command.clear()
            if parse(heard.commands[-1]).has_data:
                fragments.data_due = True
                continue
        if step in {Step.COMMAND, Step.END}:
            fragments.begin_message()
            continue
        assert len(fragments.command) <= MOST_COMMAND
        heard.other_pdu = step is Step.OTHER_PDU
        assert not heard.other_pdu or buffer[low] != P_DATA_TF
        return low


def command(data: bytes) -> None:
    """Read a command set; whatever was read, the answer to it can be read by others."""
    try:
        request = parse(data)
    except Breach:
        return
    answer = response(request, 0xC010, "an element\nends behind the object" * 3)
    assert len(answer) < 300
    read = decode(BytesIO(answer), is_implicit_vr=True, is_little_endian=True)
    assert read.CommandGroupLength == len(answer) - 12
    assert read.MessageIDBeingRespondedTo == request.message_id
    assert read.get("AffectedSOPInstanceUID", "") == request.sop_instance_uid
    assert read.Status == 0xC010
