"""The DICOM port: which services it offers, when it opens and closes."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Sequence

from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made dynamically
    StorageCommitmentPushModel,
    Verification,
)

from dicom_node.domain.dimse import IGNORED_CLASSES, INPUT_CLASSES, LOSSLESS_SYNTAXES, UNCOMPRESSED
from dicom_node.errors import ConfigurationError
from dicom_node.logs import logger
from dicom_node.settings import Listener
from dicom_node.wire.messages import Begin
from dicom_node.wire.server import Handler, Server

DRAIN_S = 10.0
# pynetdicom counts threads against its own limit; the gate counts associations.
UNLIMITED = 1_000_000


class Port:
    """A listening AE; what happens with objects and events is decided by what it is given."""

    def __init__(
        self,
        settings: Listener,
        begin: Begin,
        *,
        admits: Callable[[str], bool] = lambda _: True,
        turned_away: Callable[[str, str], None] = lambda _address, _reason: None,
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._begin = begin
        self._admits = admits
        self._turned_away = turned_away
        self._tls = tls
        self._log = logger("listen")
        self._server: Server | None = None

    def open(self, handlers: Sequence[Handler]) -> int:
        """Bind the port and serve in threads; returns the port number.

        Raises
        ------
        ConfigurationError
            When the address cannot be had.

        """
        _config.LOG_HANDLER_LEVEL = "none"  # its log quotes data sets
        ae = self._application_entity()
        address = (self._settings.host, self._settings.port)
        try:
            server = Server(
                ae,
                self._settings,
                [(evt.EVT_C_ECHO, _echo), *handlers],
                begin=self._begin,
                admits=self._admits,
                turned_away=self._turned_away,
                tls=self._tls,
            )
        except OSError as error:
            raise ConfigurationError(
                f"listener.port {address[1]} on {address[0]}: {error.strerror}; "
                "stop the other program there or choose another port"
            ) from None
        ae._servers.append(server)  # noqa: SLF001 - as start_server does it; shutdown takes it out
        threading.Thread(target=server.serve_forever, name="listen", daemon=True).start()
        self._server = server
        self._log.info("listening", address=address[0], port=address[1], ae=ae.ae_title)
        return address[1]

    def close(self) -> None:
        """Take no more associations; those that run may end by themselves for a while."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.shutdown()
        end = time.monotonic() + DRAIN_S
        while server.active_associations and time.monotonic() < end:
            time.sleep(0.05)
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
        # The PACS calls back as the SCP of Storage Commitment (PS3.4 J.3.3).
        ae.add_supported_context(
            StorageCommitmentPushModel, list(UNCOMPRESSED), scu_role=True, scp_role=True
        )
        return ae


def _echo(_event: evt.Event) -> int:
    return 0x0000
