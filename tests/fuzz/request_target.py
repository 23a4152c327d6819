"""Fuzzed: requests for an association, decoded, judged, answered and written down."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from functools import cache

from pynetdicom import AE
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.transport import AddressInformation

from dicom_node.domain.association import End, Ending, House, diagnose
from dicom_node.listen import Port
from dicom_node.listener_section import Listener
from dicom_node.visits import visit_of
from dicom_node.wire.server import fault_of
from tests.integration.door import takes_nothing


@cache
def _ae() -> AE:
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    return Port(Listener(), takes_nothing)._application_entity()


def request(data: bytes) -> None:
    """Negotiate as pynetdicom does for us, without its threads and sockets.

    What it cannot decode it aborts; whatever it can decode must be answered and be told of.
    """
    ae, pdu = _ae(), A_ASSOCIATE_RQ()
    try:
        pdu.decode(b"\1\0" + len(data).to_bytes(4, "big") + data)
    except Exception:  # noqa: BLE001 - as pynetdicom's upper layer: whatever it is, Evt19
        return
    try:
        primitive = pdu.to_primitive()
    except Exception:  # noqa: BLE001 - as our upper layer: a breach
        return
    if pdu.protocol_version != 1 or fault_of(primitive, Listener()) is not None:
        return
    assoc = Association(ae, MODE_ACCEPTOR)
    assoc.acceptor.ae_title = ae.ae_title
    assoc.acceptor.maximum_length = ae.maximum_pdu_size
    assoc.acceptor.implementation_class_uid = ae.implementation_class_uid
    assoc.acceptor.supported_contexts = list(ae.supported_contexts)
    assoc.requestor.primitive = primitive
    assoc.requestor.address_info = AddressInformation.from_tuple(("127.0.0.1", 1))
    visit_of(assoc)
    assoc.acse._negotiate_as_acceptor()
    answer = assoc.dul.to_provider_queue.get_nowait()
    (A_ASSOCIATE_RJ if answer.result else A_ASSOCIATE_AC)(answer).encode()
    visit = visit_of(assoc)
    text = json.dumps(asdict(visit), ensure_ascii=True) + str(
        diagnose(visit, End(ending=Ending.LOST), House())
    )
    assert "\0" not in text
    assert "\\u" not in text, text
