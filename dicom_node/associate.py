"""Associations that we open: to send, to ask, to echo."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE, SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made dynamically

from dicom_node.domain.dimse import UNCOMPRESSED
from dicom_node.errors import ConfigurationError, NothingAccepted, PeerError
from dicom_node.push import CallingAE
from dicom_node.sections import Tls
from dicom_node.settings import Destination
from dicom_node.tls import client_context, trouble_with

CONNECT_S = 10.0
ANSWER_S = 60.0


@contextmanager
def association(
    destination: Destination,
    calling_ae: str,
    contexts: Sequence[PresentationContext],
    handlers: Sequence[tuple[Any, Callable[..., Any]]] = (),
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
) -> Iterator[Association]:
    """An established association, released at the end of the block.

    Raises
    ------
    PeerError
        When the peer cannot be reached or refuses, with its own reason in words.

    """
    ae = CallingAE(ae_title=calling_ae)
    ae.connection_timeout = CONNECT_S
    ae.acse_timeout = CONNECT_S
    ae.dimse_timeout = ANSWER_S
    ae.network_timeout = ANSWER_S
    assoc = ae.associate(
        destination.host,
        destination.port,
        contexts=list(contexts),
        ae_title=destination.ae_title,
        ext_neg=list(roles),
        evt_handlers=[(evt.EVT_CONN_OPEN, send_at_once), *handlers],
        tls_args=_secured(destination),
    )
    see_rejection(assoc)
    if not assoc.is_established:
        if assoc.rejected_contexts:
            raise NothingAccepted(f"{describe(destination)}: takes none of what was proposed")
        raise PeerError(f"{describe(destination)}: {_why(assoc, destination)}")
    try:
        yield assoc
    finally:
        if assoc.is_established:
            assoc.release()


def see_rejection(assoc: Association) -> None:
    """Note a rejection that came faster than the library looked: it takes it for a hang-up."""
    answer: object = assoc.dul.peek_next_pdu()
    if not assoc.is_established and isinstance(answer, A_ASSOCIATE) and answer.result:
        assoc.acceptor.primitive = answer
        assoc.is_rejected = True


def _secured(destination: Destination) -> tuple[ssl.SSLContext, str] | None:
    """What the library needs to speak TLS; the files are read anew for each association."""
    if not destination.tls:
        return None
    try:
        return client_context(destination), destination.host
    except ConfigurationError as error:
        raise PeerError(f"{describe(destination)}: {error}") from None


def send_at_once(event: evt.Event) -> None:
    """Switch Nagle's algorithm off: it holds the last packet of each message back for 40 ms."""
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def describe(destination: Destination) -> str:
    """``name (AE@host:port)``: how messages name a destination."""
    if destination.kind == "dicomweb":
        return f"{destination.name} ({destination.url})"
    peer = f"{destination.ae_title}@{destination.host}:{destination.port}"
    return peer if destination.name == peer else f"{destination.name} ({peer})"


def peer(
    text: str, name: str | None = None, confirm: str = "none", tls: Tls | None = None
) -> Destination:
    """``AE@host:port`` as a destination; with ``tls``, over TLS as who we are there.

    Raises
    ------
    ConfigurationError
        When the text has another form.

    """
    ae_title, _, address = text.partition("@")
    host, _, port = address.rpartition(":")
    if not (ae_title and host and port.isdigit()):
        raise ConfigurationError(f"{text!r} is no peer; write AE@host:port, as PACS@10.0.0.5:104")
    values = {"name": name or text, "ae_title": ae_title, "host": host, "port": port}
    try:
        made = Destination.model_validate({**values, "confirm": confirm, "tls": tls is not None})
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is no peer: {error}") from None
    if tls is not None:
        made.called_by(tls)
    return made


def echo(destination: Destination, calling_ae: str) -> None:
    """Send a C-ECHO and demand success.

    Raises
    ------
    PeerError
        When there is no association or no success.

    """
    contexts = [build_context(Verification, list(UNCOMPRESSED))]
    with association(destination, calling_ae, contexts) as assoc:
        demand_success(destination, "C-ECHO", assoc.send_c_echo())


def demand_success(destination: Destination, what: str, answer: Dataset) -> None:
    """Raise ``PeerError`` unless ``answer`` carries status 0x0000."""
    if "Status" not in answer or answer.Status != 0x0000:
        text = f"0x{answer.Status:04X}" if "Status" in answer else "no answer"
        raise PeerError(f"{describe(destination)}: {what} ended with {text}")


def _why(assoc: Association, destination: Destination) -> str:
    if assoc.is_rejected:
        answer = assoc.acceptor.primitive
        reason = answer.reason_str if answer is not None else "no reason given"
        return f"association rejected: {reason}; check both AE titles at the peer"
    # pynetdicom does not tell a closed port from a peer that hangs up: look once more.
    address = (destination.host, destination.port)
    try:
        socket.create_connection(address, timeout=CONNECT_S).close()
    except OSError as error:
        reason = error.strerror or str(error)
        return f"cannot connect ({reason}); check address, port and firewall, that the peer is up"
    if destination.tls and (trouble := trouble_with(destination)):
        return f"no TLS: {trouble}"
    return "the peer hung up; check that it is a DICOM node and knows this AE title"
