"""The listening socket: everybody is counted before a thread is made, nobody delays the others."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.transport import ThreadedAssociationServer

from dicom_node.listener_section import Listener
from dicom_node.logs import in_words, logger
from dicom_node.tls import why
from dicom_node.wire.acceptor import Acceptor
from dicom_node.wire.connection import NothingSaidError
from dicom_node.wire.gate import Gate
from dicom_node.wire.messages import Begin, Overrun
from dicom_node.wire.pdata import HEADER, Breach

Handler = tuple[Any, Callable[..., Any]]
Tls = Callable[[], ssl.SSLContext | None]
Admits = Callable[[str], bool]
# Given a connection that has passed the gate; whoever takes it closes our end.
Hand = Callable[[socket.socket, tuple[str, int]], None]
TurnedAway = Callable[[str, str], None]
TOO_MANY = (2, 3, 2)  # PS3.8 Table 9-21: transient, presentation, local limit exceeded
NOT_AT_ALL = (1, 1, 1)  # permanent, service user, no reason given
OUT_OF_DESCRIPTORS_S = 0.05


def fault_of(request: A_ASSOCIATE, listener: Listener) -> Overrun | Breach | None:
    """Why a request is not negotiated: it has more than we take, or what pynetdicom chokes on."""
    contexts = request.presentation_context_definition_list
    if len(contexts) > listener.max_contexts:
        most = f"{listener.max_contexts} (listener.max_contexts)"
        return Overrun(f"{len(contexts)} presentation contexts, more than {most}")
    if not all(one.transfer_syntax and one.abstract_syntax for one in contexts):  # PS3.8 9.3.2.2
        return Breach("A presentation context without an abstract or a transfer syntax")
    if 0 < (request.maximum_length_received or 0) <= HEADER:
        return Breach("A largest PDU that has no room for anything")
    return None


class Server(ThreadedAssociationServer):
    """``ThreadedAssociationServer`` that makes our associations.

    ``admits`` is asked for every address before a thread is made; ``turned_away`` is told of
    connections that ended before they said who they are: address and reason. ``tls`` is asked for
    every connection, so that new certificates count at once. Servers of one node share the gate.
    With ``hand`` it makes no associations: another process does.
    """

    daemon_threads = True

    def __init__(
        self,
        ae: AE,
        listener: Listener,
        handlers: Sequence[Handler],
        *,
        port: int,
        gate: Gate,
        begin: Begin,
        admits: Admits,
        turned_away: TurnedAway,
        tls: Tls,
        hand: Hand | None = None,
    ) -> None:
        self.listener = listener
        self.begin = begin
        self.gate = gate
        self._admits = admits
        self._turned_away = turned_away
        self._tls = tls
        self._hand = hand
        self._ending = False
        self.request_queue_size = listener.backlog
        super().__init__(
            ae,
            (listener.host, port),
            ae.ae_title,
            ae.supported_contexts,
            evt_handlers=[*handlers, (evt.EVT_REQUESTED, self._requested)],
        )

    def server_bind(self) -> None:
        """Bind; ``accept`` must never wait, for a caller may be gone by then."""
        super().server_bind()
        self._listening().setblocking(False)  # noqa: FBT003 - the socket library's signature

    def service_actions(self) -> None:
        """Leave garbage to Python's collector.

        The base class collects all of the process's after every sixty callers, a quarter of a
        second in which nobody is heard. An association gives its buffer back when it ends.
        """

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept, and nothing else: a TLS handshake here would hold up everybody."""
        try:
            request, address = self._listening().accept()
        except BlockingIOError:
            raise
        except OSError as error:
            if self._ending:
                raise
            logger("wire").error("connection not accepted", error=error, reason=in_words(error))
            time.sleep(OUT_OF_DESCRIPTORS_S)  # it would be asked again at once
            raise
        return request, address

    def _listening(self) -> socket.socket:
        listening = self.socket
        assert listening is not None  # noqa: S101 - the base class has made it
        return listening

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ANN401 - socketserver's signature
        """Ask before any thread is made."""
        del request
        address = str(client_address[0])
        if full := self.gate.enter(address):
            self._turned_away(address, full)
            return False
        if self._admits(address):
            return True
        self.gate.leave(address)
        return False

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's signature
        """Start the association, whose own thread does everything else, or let others do so."""
        try:
            if self._hand is None:
                Acceptor(self, request, client_address).start()
            else:
                self._hand(request, client_address)
        except BaseException:
            self.gate.leave(str(client_address[0]))
            raise

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's signature
        """Say so in the log; the base class prints a traceback."""
        del request
        logger("wire").error("connection not served", address=str(client_address[0]))

    def secure(self, assoc: Acceptor) -> bool:
        """Shake hands where TLS is spoken; whether the association may go on."""
        try:
            context = self._tls()
            if context is not None:
                assoc.dul.socket.secure(context, self.listener.handshake_s)
        except NothingSaidError:
            return False
        except TimeoutError:
            limit = f"{self.listener.handshake_s:g} s (listener.handshake_s)"
            assoc.blame(Overrun(f"No TLS handshake within {limit}"))
        except OSError as error:
            assoc.blame(Breach(f"No TLS: {why(error)}"))
        else:
            return True
        return False

    def shutdown(self) -> None:
        """Stop listening, at once: a loop that waits for connections looks but twice a second."""
        self._ending = True
        with suppress(OSError):  # not every system wakes whoever waits
            self._listening().shutdown(socket.SHUT_RDWR)
        super().shutdown()

    def left(self, assoc: Acceptor) -> None:
        """A connection is over."""
        address = str(assoc.requestor.address)
        if assoc.dul.socket.socket is not None:
            self.shutdown_request(assoc.dul.socket.socket)
        assoc.dul.shut()
        self.gate.leave(address)
        reason = assoc.overrun or assoc.breach
        if reason and assoc.requestor.primitive is None:
            self._turned_away(address, reason)

    def _requested(self, event: evt.Event) -> None:
        """Give a peer that may come in a place, if there is one."""
        assoc = event.assoc
        assert isinstance(assoc, Acceptor)  # noqa: S101 - this server makes no others
        if assoc.is_rejected or assoc.is_aborted:
            return
        fault = fault_of(cast("A_ASSOCIATE", assoc.requestor.primitive), self.listener)
        if fault is not None:
            self._reject(assoc, fault, NOT_AT_ALL)
            return
        address = str(assoc.requestor.address)
        if full := self.gate.seat(address):
            self._reject(assoc, Overrun(full), TOO_MANY)
        else:
            assoc.sit(address)

    @staticmethod
    def _reject(assoc: Acceptor, fault: Overrun | Breach, answer: tuple[int, int, int]) -> None:
        assoc.blame(fault)
        assoc.acse.send_reject(*answer)
        evt.trigger(assoc, evt.EVT_REJECTED, {})
        assoc.kill()


class Handed(Server):
    """A server without a socket of its own: its connections were accepted by another process."""

    def server_bind(self) -> None:
        """Know the address and leave it to the other process."""

    def server_activate(self) -> None:
        """Nothing listens here."""

    def shutdown(self) -> None:
        """Nothing is to be ended but what the base class opened."""
        self.server_close()
        self.ae._servers.remove(self)  # noqa: SLF001 - as the base class does
