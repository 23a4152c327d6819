"""The page of associations: who called, how it went, what to do."""

from __future__ import annotations

import time
from collections.abc import Callable

from jinja2 import Environment
from pydicom.uid import UID
from starlette.requests import Request
from starlette.responses import Response

from dicom_node.domain.association import Contexts
from dicom_node.domain.dimse import class_name
from dicom_node.store.ledger import Ledger
from dicom_node.web.pages import rendered

SHOWN = 100
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
        ledger: Ledger,
        house_templates: Environment,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._templates = house_templates
        self._clock = clock

    def newest(self, _request: Request) -> Response:
        """The newest associations."""
        return rendered(self._templates, "associations.html", self._values())

    def fragment(self, _request: Request) -> Response:
        """What of the page changes."""
        return rendered(self._templates, "associations_fragment.html", self._values())

    def _values(self) -> dict[str, object]:
        return {
            "rows": self._ledger.associations.newest(SHOWN),
            "shown": SHOWN,
            "told": told,
            "now": self._clock(),
        }


def told(group: Contexts) -> tuple[str, str, str]:
    """A group of presentation contexts as people read it: classes, answer, syntaxes."""
    names = ", ".join(class_name(uid) for uid in group.classes)
    syntaxes = group.syntaxes if group.result else (group.accepted,)
    answer = _ANSWERS.get(group.result, f"result {group.result}")
    return names, answer, ", ".join(UID(uid).name for uid in syntaxes)
