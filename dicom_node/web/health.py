"""Answers for machines: alive, ready, metrics."""

from __future__ import annotations

from contextlib import suppress

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from dicom_node import metrics
from dicom_node.certificates import inventory
from dicom_node.errors import LedgerError
from dicom_node.settings import Settings
from dicom_node.store.archive import Archive
from dicom_node.store.disk import Disk
from dicom_node.store.ledger import Ledger
from dicom_node.web.pages import WORKER_ALIVE_S

_NO_STORE = {"Cache-Control": "no-store"}


class Health:
    """Endpoints for probes; plain methods, so that they run in threads."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        archive: Archive,
        disk: Disk,
        *,
        version: str,
    ) -> None:
        self._settings = settings
        self._disk = disk
        self._ledger = ledger
        self._archive = archive
        self._version = version

    def live(self, _request: Request) -> Response:
        """Whether this process answers at all."""
        return PlainTextResponse("alive\n", headers=_NO_STORE)

    def ready(self, _request: Request) -> Response:
        """Whether images can be taken: the database answers, the disk has room.

        503 with one line for each reason otherwise.
        """
        problems = [
            problem
            for problem in (
                self._ledger_problem(),
                self._spool_problem(),
                self._disk.shortage(),
            )
            if problem
        ]
        if problems:
            return PlainTextResponse("\n".join(problems) + "\n", 503, headers=_NO_STORE)
        return PlainTextResponse("ready\n", headers=_NO_STORE)

    def metrics(self, _request: Request) -> Response:
        """Prometheus text."""
        room, certificates = self._disk.room(), inventory(self._settings)
        try:
            counts = self._ledger.overview.counts()
            bundles = list(self._ledger.workers.alive(WORKER_ALIVE_S).values())
            replaced = self._ledger.fallbacks.counts()
            associations = self._ledger.associations.counts()
            known = self._ledger.destinations
            up = {name: not reach.down for name, reach in known.reaches().items()}
            text = metrics.exposition(
                counts,
                bundles,
                self._version,
                replaced,
                associations,
                room,
                quarantined=len(list(self._archive.quarantine.iterdir())),
                certificates=certificates,
                audit_waiting=self._ledger.trail.backlog(),
                post=metrics.Post(up=up, backlog=known.backlog()),
            )
        except LedgerError:
            text = metrics.exposition(None, (), self._version, room=room, certificates=certificates)
        return Response(text, headers={"Content-Type": metrics.CONTENT_TYPE, **_NO_STORE})

    def _ledger_problem(self) -> str:
        try:
            self._ledger.overview.counts()
        except LedgerError as error:
            return f"ledger: {error}; check storage.ledger_url and the database server or file"
        return ""

    def _spool_problem(self) -> str:
        part = self._archive.new_part()
        try:
            part.write_bytes(b"ready?")
        except OSError as error:
            return f"spool: {error.strerror}; make {self._archive.spool} writable, free disk space"
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        return ""
