"""The DICOM port: which services it offers, when it opens and closes."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made dynamically
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
    Verification,
)

from dicom_node.domain.dimse import IGNORED_CLASSES, INPUT_CLASSES, LOSSLESS_SYNTAXES, UNCOMPRESSED
from dicom_node.errors import ConfigurationError
from dicom_node.logs import logger
from dicom_node.settings import Listener, Settings
from dicom_node.tls import ServerTls
from dicom_node.wire.gate import Gate
from dicom_node.wire.messages import Begin
from dicom_node.wire.server import Handed, Handler, Server, Tls

DRAIN_S = 10.0
# pynetdicom counts threads against its own limit; the gate counts associations.
UNLIMITED = 1_000_000


# A connection that has passed the gate, its address, whether it came to the TLS port.
Hand = Callable[[socket.socket, tuple[str, int], bool], None]


@dataclass(frozen=True)
class Secure:
    """The port that takes TLS alone; ``context`` is asked for each connection."""

    port: int
    context: Callable[[], ssl.SSLContext]


def secure_port(settings: Settings) -> Secure | None:
    """The TLS port that the settings ask for, its files read; a ``ConfigurationError`` if wrong."""
    if not settings.tls.listens:
        return None
    return Secure(settings.tls.port, ServerTls(settings.tls))


class Port:
    """A listening AE; what happens with objects and events is decided by what it is given."""

    def __init__(
        self,
        settings: Listener,
        begin: Begin,
        *,
        admits: Callable[[str], bool] = lambda _: True,
        turned_away: Callable[[str, str], None] = lambda _address, _reason: None,
        secure: Secure | None = None,
        gate: Gate | None = None,
        hand: Hand | None = None,
    ) -> None:
        self._settings = settings
        self._begin = begin
        self._admits = admits
        self._turned_away = turned_away
        self._secure = secure
        self._gate = gate or Gate(settings)
        self._hand = hand
        self._log = logger("listen")
        self._servers: list[Server] = []

    def open(self, handlers: Sequence[Handler]) -> None:
        """Bind the port, or the one with and the one without TLS, and serve in threads.

        Raises
        ------
        ConfigurationError
            When an address cannot be had.

        """
        for server in self._make(Server, handlers):
            threading.Thread(target=server.serve_forever, name="listen", daemon=True).start()

    def take(self, handlers: Sequence[Handler]) -> Hand:
        """Serve connections that another process has accepted: what it hands over goes in here."""
        servers = self._make(Handed, handlers)

        def hand(connection: socket.socket, address: tuple[str, int], secure: bool) -> None:  # noqa: FBT001 - as it came
            servers[-1 if secure else 0].process_request(connection, address)

        return hand

    def _make(self, kind: type[Server], handlers: Sequence[Handler]) -> list[Server]:
        _config.LOG_HANDLER_LEVEL = "none"  # its log quotes data sets
        ae = self._application_entity()
        bound: list[tuple[str, int, Tls]] = []
        if self._settings.plain:
            bound.append(("listener.port", self._settings.port, _plain))
        if self._secure is not None:
            bound.append(("tls.port", self._secure.port, self._secure.context))
        for key, port, tls in bound:
            server = self._bound(kind, ae, handlers, key, port, tls)
            ae._servers.append(server)  # noqa: SLF001 - as start_server does it; shutdown takes it out
            self._servers.append(server)
        return self._servers

    def _bound(
        self,
        kind: type[Server],
        ae: AE,
        handlers: Sequence[Handler],
        key: str,
        port: int,
        tls: Tls,
    ) -> Server:
        host, hand, secure = self._settings.host, self._hand, tls is not _plain
        try:
            server = kind(
                ae,
                self._settings,
                [(evt.EVT_C_ECHO, _echo), *handlers],
                port=port,
                gate=self._gate,
                begin=self._begin,
                admits=self._admits,
                turned_away=self._turned_away,
                tls=tls,
                hand=None if hand is None else lambda one, who: hand(one, who, secure),
            )
        except OSError as error:
            raise ConfigurationError(
                f"{key} {port} on {host}: {error.strerror}; "
                "stop the other program there or choose another port"
            ) from None
        if kind is Server:
            self._log.info("listening", name=key, address=host, port=port, ae=ae.ae_title)
        return server

    def close(self) -> None:
        """Take no more associations; those that run may end by themselves for a while."""
        servers, self._servers = self._servers, []
        for server in servers:
            server.shutdown()
        end = time.monotonic() + DRAIN_S
        while any(server.active_associations for server in servers) and time.monotonic() < end:
            time.sleep(0.05)
        for server in servers:
            for assoc in server.active_associations:
                assoc.abort()  # the sender has its answers so far, and sends the rest again

    def _application_entity(self) -> AE:
        ae = AE(ae_title=self._settings.ae_title)
        ae.require_called_aet = True
        ae.maximum_pdu_size = self._settings.max_pdu_bytes
        ae.maximum_associations = UNLIMITED
        ae.network_timeout = self._settings.idle_s
        ae.acse_timeout = self._settings.acse_s
        ae.dimse_timeout = self._settings.dimse_s
        # Explicit lists everywhere: pynetdicom's default would offer a deflated syntax.
        ae.add_supported_context(Verification, list(UNCOMPRESSED))
        for sop_class in (*INPUT_CLASSES, *IGNORED_CLASSES):
            ae.add_supported_context(sop_class, list(LOSSLESS_SYNTAXES))
        ae.add_supported_context(ModalityPerformedProcedureStep, list(UNCOMPRESSED))
        # The PACS calls back as the SCP of Storage Commitment (PS3.4 J.3.3).
        ae.add_supported_context(
            StorageCommitmentPushModel, list(UNCOMPRESSED), scu_role=True, scp_role=True
        )
        return ae


def _echo(_event: evt.Event) -> int:
    return 0x0000


def _plain() -> None:
    """No TLS at this port."""
