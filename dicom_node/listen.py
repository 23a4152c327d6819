"""The DICOM port: sockets and associations, nothing about what is stored."""

from __future__ import annotations

import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made dynamically
    StorageCommitmentPushModel,
    Verification,
)
from pynetdicom.transport import ThreadedAssociationServer

from dicom_node.associate import send_at_once
from dicom_node.domain.dimse import IGNORED_CLASSES, INPUT_CLASSES, LOSSLESS_SYNTAXES, UNCOMPRESSED
from dicom_node.errors import ConfigurationError
from dicom_node.logs import logger
from dicom_node.settings import Listener, Settings
from dicom_node.tls import ServerTls, secured, why

DRAIN_S = 10.0
Handler = tuple[Any, Callable[..., Any]]


@dataclass(frozen=True)
class Secure:
    """The port that takes nothing but TLS; ``failed`` hears of an address and what went wrong."""

    port: int
    context: Callable[[], ssl.SSLContext]
    failed: Callable[[str, str], None]


def secure_port(settings: Settings, failed: Callable[[str, str], None]) -> Secure | None:
    """The TLS port that the settings ask for, its files read; a ``ConfigurationError`` if wrong."""
    if not settings.tls.listens:
        return None
    return Secure(settings.tls.port, ServerTls(settings.tls), failed)


class _Server(ThreadedAssociationServer):
    """Closes a connection that may not come in before it costs a thread."""

    admits: Callable[[str], bool]
    secure: Secure | None = None

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ANN401 - socketserver's signature
        """Ask before any thread is made."""
        del request
        return self.admits(str(client_address[0]))

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's signature
        """Shake hands here, in the connection's own thread: one that stalls delays no other."""
        if self.secure is not None:
            try:
                request = secured(request, self.secure.context())
            except OSError as error:
                self.secure.failed(str(client_address[0]), why(error))
                return
        super().finish_request(request, client_address)


class Port:
    """A listening AE; what happens with events is decided by the handlers it is given."""

    def __init__(
        self,
        settings: Listener,
        spool: Path,
        admits: Callable[[str], bool] = lambda _: True,
        secure: Secure | None = None,
    ) -> None:
        self._admits = admits
        self._settings = settings
        self._secure = secure
        self._log = logger("listen")
        self._servers: list[_Server] = []
        self._spool = spool
        self._tempdir_before: str | None = None

    def open(self, handlers: Sequence[Handler]) -> None:
        """Bind the ports and serve in threads.

        Raises
        ------
        ConfigurationError
            When an address cannot be had.

        """
        # Data sets go to disk as they come, into the archive's own file system, so that keeping
        # one is a rename. pynetdicom has no per-server setting for either.
        _config.STORE_RECV_CHUNKED_DATASET = True
        _config.LOG_HANDLER_LEVEL = "none"  # its log quotes data sets
        self._tempdir_before, tempfile.tempdir = tempfile.tempdir, str(self._spool)
        ae = self._application_entity()  # one for both ports: associations are counted together
        if self._settings.plain:
            self._bind(ae, "listener.port", self._settings.port, handlers)
        if self._secure is not None:
            server = self._bind(ae, "tls.port", self._secure.port, handlers)
            server.secure = self._secure
        for server in self._servers:
            threading.Thread(target=server.serve_forever, name="listen", daemon=True).start()

    def _bind(self, ae: AE, key: str, port: int, handlers: Sequence[Handler]) -> _Server:
        host = self._settings.host
        own: list[Any] = [(evt.EVT_CONN_OPEN, send_at_once), (evt.EVT_C_ECHO, _echo)]
        try:
            made = ae.make_server(
                (host, port), evt_handlers=[*own, *handlers], server_class=_Server
            )
        except OSError as error:
            raise ConfigurationError(
                f"{key} {port} on {host}: {error.strerror}; "
                "stop the other program there or choose another port"
            ) from None
        server = cast("_Server", made)
        server.admits = self._admits
        ae._servers.append(server)  # noqa: SLF001 - as start_server does it; shutdown takes it out
        self._servers.append(server)
        self._log.info("listening", name=key, address=host, port=port, ae=ae.ae_title)
        return server

    def close(self) -> None:
        """Take no more associations; those that run may end by themselves for a while."""
        if not self._servers:
            return
        servers, self._servers = self._servers, []
        for server in servers:
            server.shutdown()
        end = time.monotonic() + DRAIN_S
        while any(server.active_associations for server in servers) and time.monotonic() < end:
            time.sleep(0.05)
        for server in servers:
            for assoc in server.active_associations:
                assoc.abort()  # the sender has its answers so far, and sends the rest again
        tempfile.tempdir = self._tempdir_before

    def _application_entity(self) -> AE:
        ae = AE(ae_title=self._settings.ae_title)
        ae.require_called_aet = True
        ae.maximum_pdu_size = self._settings.max_pdu_bytes
        ae.maximum_associations = self._settings.max_associations
        ae.network_timeout = self._settings.idle_s
        ae.acse_timeout = 10
        ae.dimse_timeout = 60
        # Explicit lists everywhere: pynetdicom's default would offer a deflated syntax.
        ae.add_supported_context(Verification, list(UNCOMPRESSED))
        for sop_class in (*INPUT_CLASSES, *IGNORED_CLASSES):
            ae.add_supported_context(sop_class, list(LOSSLESS_SYNTAXES))
        # The PACS calls back as the SCP of Storage Commitment (PS3.4 J.3.3).
        ae.add_supported_context(
            StorageCommitmentPushModel, list(UNCOMPRESSED), scu_role=True, scp_role=True
        )
        return ae


def _echo(_event: evt.Event) -> int:
    return 0x0000
