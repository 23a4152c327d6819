"""Command sets of C-STORE: read as pynetdicom writes them, written as pynetdicom reads them."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dimse_messages import C_STORE_RQ, C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import decode

from dicom_node.wire.command import Command, parse, pdu, response
from dicom_node.wire.pdata import Breach, Fragments, Step
from tests.raw_sender import MG, c_store_rq, element


def test_a_request_is_read_as_another_library_writes_it() -> None:
    request = C_STORE()
    request.MessageID, request.Priority = 77, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = MG, "1.2.3"
    request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID = "PACS", 5
    request.DataSet = BytesIO(b"\0" * 8)
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    first = next(iter(message.encode_msg(1, 16384)))
    content = first.presentation_data_value_list[0][1][1:]
    assert parse(content) == Command(
        field=1, message_id=77, has_data=True, sop_class_uid=MG, sop_instance_uid="1.2.3"
    )


def test_an_answer_is_read_by_another_library() -> None:
    command = parse(c_store_rq(MG, "1.2.3", message=9))
    content = response(command, 0xA700, "disk: 1.0 GiB free")
    ds = decode(BytesIO(content), is_implicit_vr=True, is_little_endian=True)
    assert (ds.CommandField, ds.MessageIDBeingRespondedTo, ds.Status) == (0x8001, 9, 0xA700)
    assert (ds.AffectedSOPClassUID, ds.AffectedSOPInstanceUID) == (MG, "1.2.3")
    assert ds.ErrorComment == "disk: 1.0 GiB free"
    assert ds.CommandGroupLength == len(content) - 12
    assert ds.CommandDataSetType == 0x0101
    message = C_STORE_RSP()
    message.command_set = ds
    assert message.message_to_primitive().is_valid_response
    stream = memoryview(bytearray(pdu(5, content)))
    fragments = Fragments(1 << 16)
    assert fragments.take(stream, 0, len(stream)) is Step.COMMAND
    assert (bytes(fragments.command), fragments.context_id) == (content, 5)


def test_a_uid_that_is_none_is_not_sent_back() -> None:
    command = parse(c_store_rq(MG, "../../etc"))
    assert command.sop_instance_uid == ""
    assert b"etc" not in response(command, 0xC000)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"without \(0000,0100\)"),
        (b"\0\0", "cut off"),
        (c_store_rq(MG, "1.2.3")[:-3], "damaged"),
        (struct.pack("<HHI", 8, 0x16, 0), "damaged"),
        (element(0x0100, struct.pack("<H", 1)), r"without \(0000,0110\)"),
    ],
)
def test_what_is_no_command_set_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(Breach, match=words):
        parse(content)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        command = parse(content)
    except Breach:
        return
    assert 0 <= command.field <= 0xFFFF
