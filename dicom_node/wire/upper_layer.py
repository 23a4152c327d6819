"""The DICOM upper layer of one association, which waits where pynetdicom's asks and asks again."""

from __future__ import annotations

import os
import queue
import select
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pynetdicom import evt
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import TRANSITION_TABLE
from pynetdicom.pdu import A_ABORT_RQ

from dicom_node.listener_section import Listener
from dicom_node.logs import in_words, logger
from dicom_node.wire.connection import WOULD_BLOCK, Connection
from dicom_node.wire.messages import Begin, Messages, Overrun
from dicom_node.wire.pdata import HEADER, Breach, Step
from dicom_node.wire.waiting import Stopwatch, WakingQueue

if TYPE_CHECKING:
    from dicom_node.wire.acceptor import Acceptor

MOST_CONTROL = 256 * 1024  # bytes of a PDU that is no P-DATA; a request of 128 contexts has 40,000
PARTING_S = 0.5  # for a peer that still sends to read that it was aborted
PARTING_BYTES = 16 << 20
LONGEST_WAIT_S = 60.0
LAST_TYPE = 0x07  # PS3.8 9.3.1: A-ABORT
ESTABLISHED, PARTING, REQUEST_DUE = "Sta6", "Sta13", "Sta2"  # PS3.8 Table 9-6
FROM_PEER = frozenset(f"Evt{number}" for number in (3, 4, 6, 10, 12, 13, 16, 19))  # Table 9-10
ABORTS = frozenset({"AA-1", "AA-8"})  # Table 9-8


class UpperLayer(DULServiceProvider):
    """``DULServiceProvider``; state machine, PDUs, primitives stay pynetdicom's."""

    socket: Connection

    def __init__(self, assoc: Acceptor, listener: Listener, begin: Begin) -> None:
        super().__init__(assoc)
        self.daemon = True
        self._listener = listener
        self._acceptor = assoc
        self.artim_timer = Stopwatch(listener.acse_s)
        self._idle_timer = Stopwatch(listener.idle_s)
        self.to_provider_queue = WakingQueue(self.poke)
        self.to_user_queue = WakingQueue(assoc.stir)
        self._messages = Messages(assoc, listener, begin)
        self._born = time.monotonic()
        self._slow_since: tuple[int, float] | None = None  # the PDU waited for, and since when
        self._parting_until: float | None = None
        self._unread = 0  # bytes that came after the end
        self._unseen = False  # whether the buffer may hold something to act on
        self._answering = False
        self._poll = select.poll()
        self._lock = threading.Lock()
        self._bell: int | None = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._bell, select.POLLIN)

    def poke(self) -> None:
        """End the wait: there is something to send, or the end has come."""
        with self._lock:  # the number of a closed descriptor may be somebody else's by now
            if self._bell is not None:
                os.eventfd_write(self._bell, 1)

    def kill_dul(self) -> None:
        """End the thread."""
        self._kill_thread = True
        self.poke()

    def stop_dul(self) -> bool:
        """End the thread if the connection is over; whether it was."""
        if self.state_machine.current_state != "Sta1":
            return False
        self.kill_dul()
        self.join()
        return True

    def idle_timer_expired(self) -> bool:
        """Whether the peer was silent too long between messages, our own time not counted."""
        return self._at_rest and super().idle_timer_expired()

    @property
    def idle_left(self) -> float:
        """Seconds until the silence may have been too long."""
        return self._idle_timer.remaining if self._at_rest else LONGEST_WAIT_S

    @property
    def _at_rest(self) -> bool:
        return not self._answering and self._messages.fragments.at_rest

    def run_reactor(self) -> None:
        """Act on what the peer sends and on what is to be sent, until the connection is over."""
        self._idle_timer.start()
        self._acceptor._dul_ready.set()  # noqa: SLF001 - as the base class does
        try:
            while not self._kill_thread:
                self._turn()
        except Exception as error:  # noqa: BLE001 - the edge of the wire: the thread ends, the node goes on
            self._break_off(error)
        finally:
            self._messages.discard()
            self.shut()
            # Whoever waits for a request learns at once that none will come.
            self.to_user_queue.put(None)

    def shut(self) -> None:
        """Give back what the operating system lent; more than once is no error."""
        self.socket.discard()
        with self._lock:
            bell, self._bell = self._bell, None
            if bell is not None:
                os.close(bell)

    def _turn(self) -> None:
        if self.artim_timer.expired:
            self._artim_expired()
        if self.event_queue.empty() and not self._speaks():
            try:
                self._attend()
            except (Overrun, Breach) as fault:
                self._acceptor.blame(fault)
                self.event_queue.put("Evt19")
        while not self._kill_thread:
            try:
                event = self.event_queue.get_nowait()
            except queue.Empty:
                return
            self._tell_why(event)
            try:
                self.state_machine.do_action(event)
            except Exception as error:
                if event not in FROM_PEER:
                    raise
                # pynetdicom converts what came only now, and raises almost anything then.
                raise Breach("A PDU with values that must not be") from error

    def _speaks(self) -> bool:
        """Whether something is to be sent; not once the end has begun, when nobody listens.

        A peer that goes on before it was let in ends the association while it is negotiated.
        """
        if self.state_machine.current_state != PARTING:
            return bool(self._process_recv_primitive())
        while not self.to_provider_queue.empty():
            self.to_provider_queue.get_nowait()
        return False

    def _tell_why(self, event: str) -> None:
        """The state machine will abort for what the peer sent; it was not the peer who aborted."""
        action = TRANSITION_TABLE.get((event, self.state_machine.current_state))
        if event in FROM_PEER and action in ABORTS:
            self._acceptor.blame(
                Breach("A PDU that cannot be read, or must not come at this point")
            )

    def _artim_expired(self) -> None:
        if self.state_machine.current_state == REQUEST_DUE:
            limit = f"{self._listener.acse_s:g} s (listener.acse_s)"
            self._acceptor.blame(Overrun(f"No association was requested within {limit}"))
        self.event_queue.put("Evt18")

    def _attend(self) -> None:
        """Listen to the peer."""
        if self.state_machine.current_state == PARTING:
            self._part()
            return
        if not self._unseen:
            size = self.socket.fill()
            if size == WOULD_BLOCK:
                self._wait()
                return
            if not size:
                self.event_queue.put("Evt17")
                return
            self._idle_timer.restart()
        self._unseen = False
        if self.state_machine.current_state == ESTABLISHED:
            self._hear()
        else:
            self._control()

    def _hear(self) -> None:
        """Take messages, or the PDU that ends them."""
        self._answering = True
        try:
            step = self._messages.take(self.socket)
        finally:
            self._answering = False
        if step is Step.OTHER_PDU:
            self._control()
        elif step is not Step.MORE:
            self._unseen = True
            if step is Step.END:
                self._idle_timer.restart()
                self._limits_left()

    def _control(self) -> None:
        """Let pynetdicom read a PDU once all of it is there."""
        connection = self.socket
        there = connection.high - connection.low
        if not there:
            return
        kind = connection.buffer[connection.low]
        if not 0 < kind <= LAST_TYPE:
            raise Breach("Bytes that are no DICOM PDU: the caller speaks another protocol, or TLS")
        if there < HEADER:
            return
        head = connection.buffer[connection.low : connection.low + HEADER]
        size = int.from_bytes(head[2:], "big")
        if size > MOST_CONTROL - HEADER:
            raise Breach(f"A PDU of type {kind:02X} with {size} bytes; {MOST_CONTROL} are taken")
        if there >= HEADER + size:
            self._read_pdu_data()
            self._unseen = connection.low < connection.high
            self._slow_since = None

    def _part(self) -> None:
        """Close the connection; a peer that still sends shall be able to read the reason first."""
        now = time.monotonic()
        if self._parting_until is None:
            self._parting_until = now + PARTING_S
        connection = self.socket
        connection.low = connection.high = 0
        size = connection.fill()
        self._unread += max(0, size)
        more = size > 0 and self._unread < PARTING_BYTES
        if now < self._parting_until and (more or (size == WOULD_BLOCK and self._blamed)):
            if size == WOULD_BLOCK:
                self._poll.register(connection.descriptor, select.POLLIN)
                self._poll.poll((self._parting_until - now) * 1e3)
            return
        connection.close()

    @property
    def _blamed(self) -> bool:
        return bool(self._acceptor.overrun or self._acceptor.breach)

    def _wait(self) -> None:
        """Wait until the peer, or somebody here, has something to say, or for the next limit."""
        seconds = min(LONGEST_WAIT_S, self._limits_left())
        if self.state_machine.current_state == REQUEST_DUE:
            seconds = min(seconds, self.artim_timer.remaining + 1e-3)
        self._poll.register(self.socket.descriptor, select.POLLIN)
        self._poll.poll(max(0.0, seconds) * 1e3)
        with self._lock:
            if self._bell is not None:
                with suppress(BlockingIOError):  # it was the peer
                    os.eventfd_read(self._bell)

    def _limits_left(self) -> float:
        """Seconds until the next limit.

        Raises
        ------
        Overrun
            When one has been met.

        """
        now, limits, fragments = time.monotonic(), self._listener, self._messages.fragments
        # Between two messages at the latest moment; one that drips may not go on for ever.
        life = limits.association_s * (1 if fragments.at_rest else 2)
        left = [self._born + life - now]
        if left[0] <= 0:
            raise Overrun(f"Open for {limits.association_s:g} s (listener.association_s)")
        if not fragments.inside and self.socket.low == self.socket.high:
            self._slow_since = None
        else:
            if self._slow_since is None or self._slow_since[0] != fragments.pdus:
                self._slow_since = (fragments.pdus, now)
            left.append(self._slow_since[1] + limits.pdu_s - now)
            if left[-1] <= 0:
                raise Overrun(f"A PDU was not complete after {limits.pdu_s:g} s (listener.pdu_s)")
        if not fragments.at_rest:
            silent = limits.idle_s - self._idle_timer.remaining
            left.append(limits.dimse_s - silent)
            if left[-1] <= 0:
                raise Overrun(
                    f"Silent for {limits.dimse_s:g} s in the middle of an object (listener.dimse_s)"
                )
        return min(left)

    def _break_off(self, error: Exception) -> None:
        """Abort past the state machine, as the base class does: an exception has upset it."""
        if isinstance(error, Breach):
            self._acceptor.blame(error)
        else:
            logger("wire").error("association broken off", error=error, reason=in_words(error))
        abort = A_ABORT_RQ()
        abort.source, abort.reason_diagnostic = 0x02, 0x00
        self.socket.send(abort.encode())
        told, self._acceptor.is_established = self._acceptor.is_established, False
        self._acceptor.is_aborted = True
        self._acceptor._kill = self._kill_thread = True  # noqa: SLF001 - as the base class does
        if told:  # whoever heard of its beginning hears of its end
            evt.trigger(self._acceptor, evt.EVT_ABORTED, {})
