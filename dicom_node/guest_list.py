"""Everybody who may come in, from the settings and the ledger, with host names looked up."""

from __future__ import annotations

import socket
import threading
import time

from dicom_node.domain.association import Visit
from dicom_node.domain.peer import Peer, Service, Stranger, judge, lies_in, may_connect
from dicom_node.errors import LedgerError
from dicom_node.logs import logger
from dicom_node.settings import Destination, Settings
from dicom_node.store.ledger import Ledger

LOOKED_UP_FOR_S = 60.0
READ_AGAIN_S = 1.0


class GuestList:
    """Whoever is on it may come in; while it is empty, everybody may."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._configured = configured(settings)
        # A destination calls back to confirm what it keeps (PS3.4 J.3.3): on no list, yet known.
        self._destinations = tuple(
            Peer(
                name=destination.name,
                ae_title=destination.ae_title,
                address=destination.host,
                services=(Service.ECHO, Service.COMMITMENT),
                port=destination.port,
                source="destination",
            )
            for destination in settings.addressees
            if destination.kind == "dicom"
        )
        self._ledger = ledger
        self._added: tuple[Peer, ...] = ()
        self._read_at = -READ_AGAIN_S
        self._names: dict[str, tuple[float, frozenset[str]]] = {}
        self._lock = threading.Lock()

    def peers(self) -> tuple[Peer, ...]:
        """All of them now; none when everybody may come in."""
        try:
            self._added = self._ledger.peers.all()
        except LedgerError as error:
            logger("callers").error("peers not read, the last known count", reason=str(error))
        self._read_at = time.monotonic()
        return self._known()

    def _known(self) -> tuple[Peer, ...]:
        listed = (*self._configured, *self._added)
        return (*listed, *self._destinations) if listed else ()

    def judge(self, visit: Visit) -> tuple[Peer, ...] | Stranger:
        """The peers that a caller may be (none is needed while there are none)."""
        peers = self.peers()
        return judge(visit, peers, self._resolve) if peers else ()

    def may_connect(self, address: str) -> bool:
        """Whether any peer may call from this IP address.

        Whom the list of a moment ago lets through is judged by a fresh one when he says his name.
        """
        just_read = time.monotonic() - self._read_at < READ_AGAIN_S
        if just_read and may_connect(address, self._known(), self._resolve):
            return True
        return may_connect(address, self.peers(), self._resolve)

    def to_call_back(self, ae_title: str, address: str) -> Destination | None:
        """Where somebody who called with this title from there can be called, if that is known."""
        self.peers()  # somebody may have been added
        for peer in (*self._configured, *self._added, *self._destinations):
            if (
                peer.port
                and peer.ae_title == ae_title
                and lies_in(address, peer.address, self._resolve)
            ):
                return Destination(name=peer.name, ae_title=ae_title, host=address, port=peer.port)
        return None

    def _resolve(self, host: str) -> frozenset[str]:
        with self._lock:
            until, found = self._names.get(host, (0.0, frozenset()))
        if time.monotonic() < until:
            return found
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found = frozenset(str(answer[4][0]) for answer in answers)
        except OSError as error:
            # What was true a minute ago is the best guess while the name server is away.
            logger("callers").warning("host name not found", address=host, error=error)
        with self._lock:
            self._names[host] = (time.monotonic() + LOOKED_UP_FOR_S, found)
        return found


def configured(settings: Settings) -> tuple[Peer, ...]:
    """The peers of node.toml."""
    return tuple(peer.known() for peer in settings.peers)
