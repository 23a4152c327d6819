"""Asks the status page without a socket, reads what it answers."""

from __future__ import annotations

import asyncio
import re
from html.parser import HTMLParser

import httpx

from dicom_node.web.app import make_app
from tests.web_builders import Exam, Hospital


class Browser:
    """Asks the application without a socket."""

    def __init__(self, hospital: Hospital, now: float | None = None) -> None:
        clock = {} if now is None else {"clock": lambda: now}
        self._app = make_app(hospital.settings, hospital.ledger, hospital.archive, **clock)

    def ask(self, method: str, path: str, **options: object) -> httpx.Response:
        return asyncio.run(self._ask(method, path, **options))

    async def _ask(self, method: str, path: str, **options: object) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            return await client.request(method, path, **options)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.ask("GET", path, headers=headers)

    def page(self, path: str) -> Page:
        response = self.get(path)
        assert response.status_code == 200, response.text
        return Page(response.text)


class Page(HTMLParser):
    """The text of a page, its cells, its pictures, its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._in_cell:
            self.rows[-1][-1] = re.sub(r"\s+", " ", f"{self.rows[-1][-1]} {data}").strip()

    def row(self, first: str) -> list[str]:
        (found,) = [row for row in self.rows if row and row[0].startswith(first)]
        return found

    def all(self, tag: str, name: str) -> list[str]:
        return [attrs[name] or "" for found, attrs in self.tags if found == tag and name in attrs]


def finished(hospital: Hospital, name: str = "finished") -> Exam:
    return hospital.exam(name).receive().close().analyse().deliver()
