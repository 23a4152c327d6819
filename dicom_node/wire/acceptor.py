"""An association that a peer opened: pynetdicom's, woken instead of polling, kept to its limits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation

from dicom_node.wire.connection import Connection
from dicom_node.wire.messages import Overrun
from dicom_node.wire.pdata import Breach
from dicom_node.wire.upper_layer import UpperLayer
from dicom_node.wire.waiting import WakingQueue

if TYPE_CHECKING:
    import socket

    from dicom_node.wire.server import Server

LEAST_WAIT_S = 0.05


class _Turnstile(threading.Event):
    """Stands where the association's loop stops at each turn; opens when something is to do."""

    def __init__(self, assoc: Acceptor) -> None:
        super().__init__()
        self._assoc = assoc

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for something to do, then as long as the base class says."""
        self._assoc.rest()
        return super().wait(timeout)


class Acceptor(Association):
    """``Association`` on our upper layer.

    ``overrun`` says which limit it met, ``breach`` how the peer broke the protocol, if they ended
    it. ``seated`` is set once everybody has heard that it is established.
    """

    dul: UpperLayer

    def __init__(self, server: Server, request: socket.socket, address: tuple[str, int]) -> None:
        self._stirred = threading.Event()
        self.seated = threading.Event()
        self.overrun = self.breach = ""
        self._seat: str | None = None
        super().__init__(server.ae, MODE_ACCEPTOR)
        self._house = server
        self._server = server
        self._caller = address
        self.name = f"AcceptorThread@{address[0]}"  # pynetdicom finds its associations by this
        self.dul = UpperLayer(self, server.listener, server.begin)
        self.dimse.msg_queue = WakingQueue(self.stir)
        self._reactor_checkpoint = _Turnstile(self)
        self._reactor_checkpoint.set()
        self.set_socket(Connection(self, request, server.listener.pdu_s))
        self._introduce(address)

    def _introduce(self, address: tuple[str, int]) -> None:
        """Say who we are and who calls, as pynetdicom's request handler does."""
        server, ours = self._house, self.acceptor
        ours.maximum_length = server.ae.maximum_pdu_size
        ours.ae_title = server.ae_title
        ours.address_info = AddressInformation.from_tuple(server.server_address)
        ours.implementation_class_uid = server.ae.implementation_class_uid
        ours.implementation_version_name = server.ae.implementation_version_name
        # The list is this association's own, the contexts are everybody's: nothing writes to them.
        ours.supported_contexts = list(server.contexts)
        self.requestor.address_info = AddressInformation.from_tuple(address)
        for event, bound in server._handlers.items():  # noqa: SLF001 - as the base class does
            for handler, args in [bound] if isinstance(bound, tuple) else bound:
                self.bind(event, handler, args)

    def context(self, context_id: int) -> PresentationContext | None:
        """The accepted presentation context with this id."""
        return self._accepted_cx.get(context_id)

    def takes(self, sop_class_uid: str) -> bool:
        """Whether any accepted presentation context is of this SOP class."""
        return any(cx.abstract_syntax == sop_class_uid for cx in self._accepted_cx.values())

    def blame(self, fault: Overrun | Breach) -> None:
        """Remember why it had to end; the first word counts."""
        if self.overrun or self.breach:
            return
        if isinstance(fault, Overrun):
            self.overrun = str(fault)
        else:
            self.breach = str(fault)

    def stir(self) -> None:
        """There is something to do."""
        self._stirred.set()

    def rest(self) -> None:
        """Wait until there is something to do, or the peer may have been silent too long."""
        self._stirred.wait(max(LEAST_WAIT_S, self.dul.idle_left + 1e-3))
        self._stirred.clear()

    def sit(self, address: str) -> None:
        """It has got one of the seats of this address."""
        self._seat = address

    def run_reactor(self) -> None:
        """From the connection to its end, in the connection's own thread."""
        try:
            if self._house.secure(self):
                evt.trigger(self, evt.EVT_CONN_OPEN, {"address": self._caller})
                super().run_reactor()
        finally:
            self.seated.set()
            self.kill()
            self._house.left(self)

    def _run_reactor(self) -> None:
        """Serve; everybody who wanted to know of the association has been told of it by now."""
        self.seated.set()
        super()._run_reactor()

    def kill(self) -> None:
        """End, and wait until the upper layer has said goodbye."""
        self._kill = True
        self.is_established = False
        self._is_paused = True
        self._reactor_checkpoint.set()
        self.stir()
        seat, self._seat = self._seat, None
        if seat is not None:
            self._house.gate.unseat(seat)
        if threading.current_thread() is self.dul:
            return
        while self.dul.is_alive() and not self.dul.stop_dul():
            self.dul.join(LEAST_WAIT_S)


def is_released(assoc: Association) -> bool:
    """Whether the peer has asked for the release and got it, also where the library says so later.

    The connection may be closed, by the thread that answers, before the other has noted it.
    """
    return assoc.is_released or assoc._sent_release  # noqa: SLF001 - it has no other word for it


def faults_of(assoc: Association) -> tuple[str, str]:
    """Which limit an association met, or how its peer broke the protocol; else nothing."""
    return (assoc.overrun, assoc.breach) if isinstance(assoc, Acceptor) else ("", "")
