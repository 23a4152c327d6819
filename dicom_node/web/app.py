"""The web application: which address answers with what."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version as distribution_version
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicom_node.errors import FapsNodeError
from dicom_node.logs import in_words, logger
from dicom_node.settings import Settings
from dicom_node.store.archive import Archive
from dicom_node.store.disk import disk_of
from dicom_node.store.ledger import Ledger
from dicom_node.web.associations import AssociationPages
from dicom_node.web.deliveries import DeliveryPages
from dicom_node.web.health import Health
from dicom_node.web.pages import Pages, templates

STATIC = Path(__file__).parent / "static"
# Nothing inline and nothing from elsewhere: a hostile header of an image can run no script here.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def make_app(
    settings: Settings,
    ledger: Ledger,
    archive: Archive,
    *,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """The status page; ``clock`` gives seconds since 1970."""
    version = distribution_version("faps-node")
    house_templates = templates(settings, version)
    pages = Pages(settings, ledger, archive, house_templates, clock=clock)
    visits = AssociationPages(settings, ledger, house_templates, clock=clock)
    post = DeliveryPages(settings, ledger, house_templates, clock=clock)
    health = Health(settings, ledger, archive, disk_of(settings), version=version)
    errors = Errors(pages)
    return Starlette(
        routes=[
            Route("/", pages.exams),
            Route("/exams", pages.exams_fragment),
            Route("/search", pages.search, methods=["POST"]),
            Route("/study/{uid}", pages.study),
            Route("/study/{uid}/now", pages.study_fragment),
            Route("/study/{uid}/birads", pages.assess, methods=["POST"]),
            Route("/study/{uid}/{job}/report", pages.report),
            Route("/study/{uid}/{job}/{role}/{key}.png", pages.picture),
            Route("/associations", visits.newest),
            Route("/peers", visits.add, methods=["POST"]),
            Route("/associations/now", visits.fragment),
            Route("/deliveries", post.all),
            Route("/deliveries", post.resend, methods=["POST"]),
            Route("/deliveries/now", post.fragment),
            Route("/live", health.live),
            Route("/ready", health.ready),
            Route("/metrics", health.metrics),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(SecureHeaders)],
        exception_handlers={
            HTTPException: errors.http,
            FapsNodeError: errors.ours,
            Exception: errors.other,
        },
    )


class SecureHeaders:
    """Adds ``HEADERS`` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, the response with more headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class Errors:
    """Pages for what went wrong."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._log = logger("web")

    async def http(self, _request: Request, error: Exception) -> Response:
        """A request for what is not there."""
        assert isinstance(error, HTTPException)  # noqa: S101 - the only type it is registered for
        missing = error.status_code == 404  # noqa: PLR2004 - HTTP
        title = "Not found" if missing else "This cannot be done"
        reason = error.detail if error.detail != "Not Found" else "There is no such page."
        advice = "Go to the list of exams, or search for an accession number, Patient ID or UID."
        return self._pages.error(error.status_code, title, reason, advice)

    async def ours(self, _request: Request, error: Exception) -> Response:
        """The database or the archive said no."""
        self._log.error("page failed", error=error, reason=in_words(error))
        advice = (
            "The node keeps what it has received. Check the database and the disk of the data "
            "folder; /ready tells what is wrong. Then reload this page."
        )
        return self._pages.error(503, "The node's storage does not answer", str(error), advice)

    async def other(self, _request: Request, error: Exception) -> Response:
        """A fault of ours; the server's log has the details, the page has none."""
        self._log.error("page failed", error=error)
        response = self._pages.error(
            500,
            "This page has a fault",
            f"{type(error).__name__} while the page was made. Receiving and sending go on.",
            "Reload the page. If it stays, report it together with the node's log.",
        )
        # The outermost handler answers past the middleware, so the headers are put on here.
        response.headers.update(HEADERS)
        return response
