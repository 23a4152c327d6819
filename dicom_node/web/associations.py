"""The page of associations: who called, how it went, what to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from jinja2 import Environment
from pydantic import ValidationError
from pydicom.uid import UID
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from dicom_node.domain.association import Contexts
from dicom_node.domain.dimse import class_name
from dicom_node.domain.peer import Peer
from dicom_node.errors import LedgerError
from dicom_node.guest_list import configured
from dicom_node.sections import KnownPeer
from dicom_node.settings import Settings
from dicom_node.store.ledger import Ledger
from dicom_node.web.forms import from_our_own_page, small_form
from dicom_node.web.pages import rendered

SHOWN = 100
PROMISES_SHOWN = 20
# PS3.8 Table 9-18.
_ANSWERS = {
    -1: "not answered",
    0: "accepted",
    1: "rejected by the user",
    2: "rejected, no reason",
    3: "class not taken",
    4: "no common transfer syntax",
}


class AssociationPages:
    """Endpoints for people."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        house_templates: Environment,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._configured = configured(settings)
        self._templates = house_templates
        self._clock = clock

    def newest(self, _request: Request) -> Response:
        """The newest associations."""
        return rendered(self._templates, "associations.html", self._values())

    def fragment(self, _request: Request) -> Response:
        """What of the page changes."""
        return rendered(self._templates, "associations_fragment.html", self._values())

    async def add(self, request: Request) -> Response:
        """Let a refused caller in."""
        from_our_own_page(request)
        fields = await small_form(request)
        who = (fields.get("ae", ""), fields.get("address", ""), fields.get("certificate", ""))
        return await run_in_threadpool(self._add, *who)

    def _add(self, ae_title: str, address: str, certificate: str) -> Response:
        refused = map(_who, self._ledger.associations.strangers())
        if not ae_title or (ae_title, address, certificate) not in refused:
            raise HTTPException(409, "No such caller was refused; reload the page.")
        taken = {peer.name for peer in (*self._configured, *self._ledger.peers.all())}
        short = certificate.removeprefix("sha256:")[:6]
        names = (ae_title, f"{ae_title} {address}", f"{ae_title} {address} {short}".strip())
        try:
            name = next((one for one in names if one not in taken), names[-1])
            peer = KnownPeer(name=name, ae_title=ae_title, address=address, certificate=certificate)
            self._ledger.peers.add(peer.known(), "page")
        except (ValidationError, LedgerError) as error:
            raise HTTPException(409, f"{ae_title}@{address} cannot be added.") from error
        return RedirectResponse("/associations", status_code=303)

    def _strangers(self, peers: tuple[Peer, ...]) -> list[dict[str, Any]]:
        """Refused callers that nobody has let in since."""
        known = {(peer.ae_title, peer.address, peer.certificate) for peer in peers}
        rows = self._ledger.associations.strangers()
        return [row for row in rows if not {_who(row), (*_who(row)[:2], "")} & known]

    def _values(self) -> dict[str, object]:
        peers = (*self._configured, *self._ledger.peers.all())
        return {
            "peers": peers,
            "strangers": self._strangers(peers),
            "rows": self._ledger.associations.newest(SHOWN),
            "shown": SHOWN,
            "promises": self._ledger.promises.newest(PROMISES_SHOWN),
            "told": told,
            "now": self._clock(),
        }


def _who(row: dict[str, Any]) -> tuple[str, str, str]:
    """A caller of the log: title, address, certificate."""
    return row["calling_ae"], row["address"], row["certificate"]


def told(group: Contexts) -> tuple[str, str, str]:
    """A group of presentation contexts as people read it: classes, answer, syntaxes."""
    names = ", ".join(class_name(uid) for uid in group.classes)
    syntaxes = group.syntaxes if group.result else (group.accepted,)
    answer = _ANSWERS.get(group.result, f"result {group.result}")
    return names, answer, ", ".join(UID(uid).name for uid in syntaxes)
