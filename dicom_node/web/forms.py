"""Small forms: what they hold, and that they come from our own page."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

MAX_FORM_BYTES = 2048


def from_our_own_page(request: Request) -> None:
    """Refuse what a page of somebody else's made the browser send."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    strange = origin is not None and origin.partition("://")[2] != request.headers.get("Host")
    if site not in {"same-origin", "none"} or strange:
        raise HTTPException(403, "The request came from another site; use this node's own page.")


async def small_form(request: Request) -> dict[str, str]:
    """The fields of a small form, trimmed; the first of each name."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM_BYTES:
                raise HTTPException(413, "The text is too long: an identifier is enough.")
    except ClientDisconnect:
        return {}
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)
    return {name: values[0].strip() for name, values in fields.items()}
