"""Who calls the DICOM port: every association judged, counted and written down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import cast
from weakref import WeakKeyDictionary, WeakSet

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ABORT, A_ASSOCIATE, A_P_ABORT
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made dynamically
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
    Verification,
)

from dicom_node.domain.association import (
    End,
    Ending,
    House,
    Refusal,
    Tally,
    Visit,
    diagnose,
)
from dicom_node.domain.peer import Service, Stranger
from dicom_node.guest_list import GuestList
from dicom_node.logs import logger
from dicom_node.settings import Settings
from dicom_node.store.ledger import Ledger
from dicom_node.visits import visit_of
from dicom_node.wire.acceptor import faults_of, is_released

LOOK_S = 5.0
LOST_AFTER_S = 10.0  # one that has just been opened may not have its number here yet
TOLD_EVERY_S = 60.0  # of an address that is turned away before it says who it is
REMEMBERED = 4096
# PS3.8 Table 9-21: result, source, diagnostic.
_REJECTIONS: dict[tuple[int | None, ...], Refusal] = {
    (1, 1, 3): Refusal.CALLER,
    (1, 1, 7): Refusal.CALLED_AE,
    (2, 3, 2): Refusal.TOO_MANY,
}


class Callers:
    """The log of associations.

    ``left`` is called when one that was accepted has ended, ``row`` when its row has been opened or
    closed; ``elsewhere`` are rows that other processes have open.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        left: Callable[[], None],
        row: Callable[[int, bool], None] = lambda _id, _is_open: None,
        elsewhere: Callable[[], Collection[int]] = tuple,
    ) -> None:
        listener = settings.listener
        self._house = House(
            titles=(listener.ae_title, *listener.ae_titles),
            idle_s=listener.idle_s,
        )
        self._ledger = ledger
        self._left = left
        self._row = row
        self._elsewhere = elsewhere
        self._log = logger("callers")
        self.guests = GuestList(settings, ledger)
        self._peers: WeakKeyDictionary[Association, str] = WeakKeyDictionary()
        self._cut: WeakSet[Association] = WeakSet()
        self._told: dict[str, float] = {}
        self._tallies: dict[Association, Tally] = {}
        self._lock = threading.Lock()

    def handlers(self) -> list[tuple[object, Callable[..., object]]]:
        """What the port shall call."""
        return [
            (evt.EVT_REQUESTED, self.asked),
            (evt.EVT_REJECTED, self.rejected),
            (evt.EVT_ESTABLISHED, self.opened),
            (evt.EVT_ACSE_RECV, self.heard),
            (evt.EVT_RELEASED, lambda event: self.closed(event.assoc, Ending.RELEASED)),
            (evt.EVT_ABORTED, lambda event: self.closed(event.assoc, Ending.ABORTED)),
            (evt.EVT_CONN_CLOSE, lambda event: self.closed(event.assoc, Ending.LOST)),
        ]

    def tally(self, assoc: Association) -> Tally:
        """Where the objects of an association are counted."""
        with self._lock:
            return self._tallies.get(assoc) or Tally()

    def tick(self) -> float:
        """Close in the ledger what has ended without its end being written; seconds to the next.

        The database may have been away at that moment, and an exam waits for its sender to go.
        """
        with self._lock:
            entries = [tally.association_id for tally in self._tallies.values()]
        alive = [entry.id for entry in entries if entry is not None and entry.id is not None]
        alive += self._elsewhere()
        lost = self._ledger.associations.close_lost(alive, older_than_s=LOST_AFTER_S)
        if lost:
            self._log.warning("ends of associations were not recorded", count=lost)
            self._left()
        return LOOK_S

    def admits(self, address: str) -> bool:
        """Whether somebody at this IP address may connect at all; asked before any thread."""
        if self.guests.may_connect(address):
            return True
        why = f"No peer may call from {address}; the connection was closed at once"
        self._tell(address, Refusal.ADDRESS, why)
        return False

    def turned_away(self, address: str, why: str) -> None:
        """A connection was closed before anybody said who it is: for a limit, or for nonsense."""
        self._tell(address, Refusal.CLOSED, why)

    def _tell(self, address: str, refusal: Refusal, why: str) -> None:
        """Write it down, but not again for the same address within a minute."""
        now = time.monotonic()
        with self._lock:
            if now - self._told.get(address, -TOLD_EVERY_S) < TOLD_EVERY_S:
                return
            if len(self._told) >= REMEMBERED:
                self._told.clear()
            self._told[address] = now
        visit = Visit(called_ae="", calling_ae="", address=address)
        self._write_rejection(visit, refusal, why)

    def asked(self, event: evt.Event) -> None:
        """A peer requests an association: let it go on, or reject it (PS3.8 7.1.1.9)."""
        assoc = event.assoc
        try:
            visit = visit_of(assoc)
            if visit.called_ae not in self._house.titles:
                return  # the library rejects it: it calls somebody else
            # The library compares the called title with this one.
            assoc.acceptor.ae_title = visit.called_ae
            verdict = self.guests.judge(visit)
        except Exception as error:  # noqa: BLE001 - a fault of ours must let nobody in
            self._log.error("caller not judged", error=error)
            self._turn_away(assoc, (2, 1, 1))
            return
        if isinstance(verdict, Stranger):
            self._write_rejection(visit, verdict.refusal, verdict.words)
            self._turn_away(assoc, (1, 1, 3))
        elif verdict:
            self._peers[assoc] = ", ".join(sorted({peer.name for peer in verdict}))[:80]
            allowed = {service for peer in verdict for service in peer.services}
            assoc.acceptor.supported_contexts = [
                context
                for context in assoc.acceptor.supported_contexts
                if _service(str(context.abstract_syntax)) in allowed
            ]

    @staticmethod
    def _turn_away(assoc: Association, answer: tuple[int, int, int]) -> None:
        assoc.acse.send_reject(*answer)
        assoc.kill()  # as the library does it: not before the answer has gone out

    def rejected(self, event: evt.Event) -> None:
        """A peer was not let in, by the library's own rules."""
        answer = cast("A_ASSOCIATE", event.assoc.acceptor.primitive)
        code = (answer.result, answer.result_source, answer.diagnostic)
        refusal = _REJECTIONS.get(code, Refusal.OTHER)
        self._write_rejection(visit_of(event.assoc), refusal, "".join(faults_of(event.assoc)))

    def opened(self, event: evt.Event) -> None:
        """A peer has come in."""
        visit = replace(visit_of(event.assoc), peer=self._peers.get(event.assoc, ""))
        tally = Tally(visit=visit)
        # The objects that follow will be answered A700 themselves if it cannot be recorded.
        note = self._note("association")

        def recorded(error: Exception | None) -> None:
            note(error)
            self._tell_row(tally, is_open=True)

        tally.association_id = self._ledger.associations.open(visit, recorded)
        self._tell_row(tally, is_open=True)  # it may be there before we know its entry
        with self._lock:
            self._tallies[event.assoc] = tally
        if event.assoc.is_aborted:  # by a node that stops: before there was anything to close
            self.closed(event.assoc, Ending.ABORTED)

    def _tell_row(self, tally: Tally, *, is_open: bool) -> None:
        """Say that an association's row is in the log, or closed: who dies leaves the open ones."""
        if tally.association_id is not None and tally.association_id.id is not None:
            self._row(tally.association_id.id, is_open)

    def heard(self, event: evt.Event) -> None:
        """Note who said A-ABORT: the connection is closed before anybody else learns of it."""
        if isinstance(getattr(event, "primitive", None), A_ABORT | A_P_ABORT):
            self.tally(event.assoc).aborted_by_peer = True

    def closed(self, assoc: Association, ending: Ending) -> None:
        """A peer has gone, for whatever reason; only the first word of it counts."""
        with self._lock:
            tally = self._tallies.pop(assoc, None)
        if tally is None:
            if ending is Ending.LOST and not (assoc.is_aborted or assoc.acse.is_aborted()):
                self._cut.add(assoc)  # perhaps before it was opened here
            return
        end = tally.end(self._really(assoc, ending, tally))
        if end.ending in {Ending.LIMIT, Ending.BREACH}:
            end = replace(end, complaint="".join(faults_of(assoc)))
        diagnosis = diagnose(tally.visit, end, self._house)
        self._say(tally.visit, end, diagnosis.code)
        note = self._note("end of association")

        def recorded(error: Exception | None) -> None:
            note(error)
            self._tell_row(tally, is_open=False)
            self._left()  # not before: assembling asks the ledger whether the sender has gone

        if tally.association_id is not None:
            self._ledger.associations.close(tally.association_id, end, diagnosis, recorded)

    def _really(self, assoc: Association, ending: Ending, tally: Tally) -> Ending:
        """How it ended: that the connection is closed is often heard of before the reason."""
        overrun, breach = faults_of(assoc)
        if overrun or breach:
            return Ending.LIMIT if overrun else Ending.BREACH
        # PS3.8 9.2: after A-ABORT the connection closes. One that is lost puts its own A-P-ABORT
        # into the queue only after that was told.
        by_peer = tally.aborted_by_peer or assoc.acse.is_aborted()
        if assoc in self._cut:
            return Ending.LOST
        if ending is Ending.LOST and is_released(assoc):
            return Ending.RELEASED
        if ending is Ending.LOST and by_peer:
            return Ending.ABORTED
        if not by_peer and (ending is Ending.ABORTED or assoc.is_aborted):
            return Ending.IDLE if assoc.dul.idle_timer_expired() else Ending.ENDED_HERE
        return ending

    def _write_rejection(self, visit: Visit, refusal: Refusal, why: str) -> None:
        end = End(ending=Ending.REJECTED, complaint=why, refusal=refusal)
        diagnosis = diagnose(visit, end, self._house)
        self._say(visit, end, diagnosis.code)
        note = self._note("rejected association")
        self._ledger.associations.reject(visit, end, diagnosis, note)

    def _note(self, what: str) -> Callable[[Exception | None], None]:
        """Says in the log what could not be written."""

        def note(error: Exception | None) -> None:
            if error is not None:
                self._log.error(f"{what} not recorded", reason=str(error))

        return note

    def _say(self, visit: Visit, end: End, code: str) -> None:
        self._log.info(
            f"association {end.ending.value}",
            ae=visit.calling_ae,
            called_ae=visit.called_ae,
            address=visit.address,
            objects=end.objects,
            bytes=end.size,
            code=code,
        )


def _service(abstract_syntax: str) -> Service:
    """What a presentation context is for."""
    others = {
        Verification: Service.ECHO,
        StorageCommitmentPushModel: Service.COMMITMENT,
        ModalityPerformedProcedureStep: Service.MPPS,
    }
    return others.get(abstract_syntax, Service.STORE)
