"""The page of deliveries: how each destination is, what it did not take, what is to be done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from jinja2 import Environment
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from dicom_node.associate import describe
from dicom_node.domain.offers import class_words
from dicom_node.domain.reach import Reach
from dicom_node.errors import LedgerError
from dicom_node.settings import Settings
from dicom_node.store.ledger import Ledger
from dicom_node.web.forms import from_our_own_page, small_form
from dicom_node.web.pages import rendered
from dicom_node.web.words import object_name

WAITING = ("waiting", "sent", "unknown")


@dataclass(frozen=True, kw_only=True)
class DestinationLine:
    """One destination as the page tells it."""

    name: str
    address: str
    profiles: str
    reach: Reach
    waiting: int
    oldest_s: float
    refused: int
    held: int
    unproven: int
    not_taken: str


class DeliveryPages:
    """Endpoints for people."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        house_templates: Environment,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._templates = house_templates
        self._clock = clock

    def all(self, _request: Request) -> Response:
        """Destinations, and what could not be delivered."""
        return rendered(self._templates, "deliveries.html", self._values())

    def fragment(self, _request: Request) -> Response:
        """What of the page changes."""
        return rendered(self._templates, "deliveries_fragment.html", self._values())

    async def resend(self, request: Request) -> Response:
        """Send again what one destination refused, or was held for it, of one exam."""
        from_our_own_page(request)
        fields = await small_form(request)
        return await run_in_threadpool(
            self._resend, fields.get("job", ""), fields.get("destination", "")
        )

    def _resend(self, job_id: str, destination: str) -> Response:
        rows = self._ledger.destinations.undelivered()
        if not any((row["job_id"], row["destination"]) == (job_id, destination) for row in rows):
            raise HTTPException(409, "Nothing of this exam is left there; reload the page.")
        try:
            self._ledger.deliveries.resend(job_id, destination, "page", ended_only=True)
        except LedgerError as error:
            raise HTTPException(409, str(error)) from error
        return RedirectResponse("/deliveries", status_code=303)

    def _values(self) -> dict[str, object]:
        return {
            "lines": self._lines(),
            "rows": [
                row | {"object": object_name(row["role"], row["key"])}
                for row in self._ledger.destinations.undelivered()
            ],
            "now": self._clock(),
        }

    def _lines(self) -> list[DestinationLine]:
        known = self._ledger.destinations
        reaches, backlog, not_taken = known.reaches(), known.backlog(), known.not_taken()
        lines = []
        for one in self._settings.addressees:
            entry = backlog.get(one.name, {"states": {}, "oldest_s": 0.0, "unproven": 0})
            states = entry["states"]
            lines.append(
                DestinationLine(
                    name=one.name,
                    address=describe(one),
                    profiles=", ".join(one.profiles),
                    reach=reaches.get(one.name, Reach()),
                    waiting=sum(states.get(state, 0) for state in WAITING),
                    oldest_s=entry["oldest_s"],
                    refused=states.get("refused", 0),
                    held=states.get("held", 0),
                    unproven=entry["unproven"],
                    not_taken=", ".join(map(class_words, not_taken.get(one.name, ()))),
                )
            )
        return lines
