"""A web server for a viewer: its files beside the archive's DICOMweb, under one origin."""

from __future__ import annotations

import mimetypes
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx

DICOMWEB = "/dicom-web"
PASSED_ON = ("accept", "content-type", "range")
# Where mimetypes depends on the machine.
KINDS = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
ISOLATED = {  # what a page needs for threads that share memory
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class Server(ThreadingHTTPServer):
    """Serves ``pages`` first, then the files in ``root``; DICOMweb it asks of Orthanc's URL."""

    def __init__(self, root: Path, archive: str, pages: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.pages = root.resolve(), dict(pages)
        self.archive = httpx.Client(base_url=archive, timeout=120)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith(DICOMWEB):
            self._pass_on()
        elif path in self.server.pages:
            self._answer(200, self.server.pages[path], _kind(path))
        else:
            self._file(path)

    def _pass_on(self) -> None:
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        # Orthanc makes the addresses in its answers out of this one.
        headers["Forwarded"] = f"host={self.headers['Host']};proto=http"
        answer = self.server.archive.get(self.path, headers=headers)
        kind = answer.headers.get("Content-Type", "application/octet-stream")
        self._answer(answer.status_code, answer.content, kind)

    def _file(self, path: str) -> None:
        file = (self.server.root / path.lstrip("/")).resolve()
        if not file.is_file() or self.server.root not in file.parents:
            if "." in path.rsplit("/", 1)[-1]:
                return self._answer(404, b"", "text/plain")
            file = self.server.root / "index.html"  # addresses without an ending are its own pages
        return self._answer(200, file.read_bytes(), _kind(file.name))

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), **ISOLATED}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Nothing: the browser says what went wrong."""


@contextmanager
def site(root: Path, archive: str, pages: Mapping[str, bytes]) -> Iterator[str]:
    """The address of a running server."""
    server = Server(root, archive, pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
        server.archive.close()


def _kind(name: str) -> str:
    guessed = mimetypes.guess_type(name)[0]
    return KINDS.get(Path(name).suffix) or guessed or "application/octet-stream"
