"""The status page in a real browser."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from PIL import Image
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicom_node.domain.instance import ImageKind
from dicom_node.web.app import make_app
from tests.web_builders import BUNDLE, OWNER, VIEWS, Exam, Hospital

CHROMIUM = shutil.which("chromium")
OUTLINE = (255, 150, 30)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")


@dataclass
class Witness:
    """Passes requests on; remembers what was answered, and can act before an answer."""

    app: ASGIApp
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    answers: list[tuple[str, int]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        act = self.before.pop(scope.get("path", ""), None)
        if act is not None:
            act()

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.answers.append((scope["path"], message["status"]))
            await send(message)

        await self.app(scope, receive, noting)


@dataclass(frozen=True)
class Seen:
    """What the browser ended with."""

    dom: str
    console: str
    picture: Image.Image


class Site:
    """The page on a port of its own, and a browser to open it with."""

    def __init__(self, folder: Path) -> None:
        self.hospital = Hospital(folder / "data")
        self.hospital.ledger.workers.say_alive(OWNER, BUNDLE)
        app = make_app(self.hospital.settings, self.hospital.ledger, self.hospital.archive)
        self.witness = Witness(app)
        self._folder = folder
        # Bound before the server runs: a browser that comes early waits in the backlog.
        self._socket = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(self.witness, log_config=None, ws="none", lifespan="off")
        self._server = uvicorn.Server(config)
        sockets = {"sockets": [self._socket]}
        self._thread = threading.Thread(target=self._server.run, kwargs=sockets)
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()
        self.hospital.ledger.close()

    def open(self, path: str, *, width: int = 1280, height: int = 1400) -> Seen:
        """Load a page, let five seconds of the browser's own time pass, look."""
        port = self._socket.getsockname()[1]
        shot = self._folder / "shot.png"
        done = subprocess.run(
            [
                str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-sync",
                "--disable-background-networking", "--disable-dev-shm-usage", "--no-first-run",
                "--enable-logging=stderr",
                "--blink-settings=preferredColorScheme=0", f"--window-size={width},{height}",
                f"--user-data-dir={self._folder / 'profile'}", "--virtual-time-budget=5000",
                f"--screenshot={shot}", "--dump-dom", f"http://127.0.0.1:{port}{path}",
            ],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        with Image.open(shot) as image:
            picture = image.convert("RGB")
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return Seen(done.stdout, "\n".join(console), picture)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def share_of(picture: Image.Image, colour: tuple[int, int, int]) -> float:
    difference = np.abs(np.asarray(picture).astype(int) - np.array(colour)).max(axis=2)
    return float((difference < 12).mean())


def test_a_finished_study_shows_outlines_and_heat_maps(site: Site):
    exam = site.hospital.exam("finished").receive().close().analyse().deliver()
    seen = site.open(f"/study/{exam.uid}")
    for role in ("preview", "heat_map"):
        for view in VIEWS:
            path = f"/study/{exam.uid}/{exam.job_id()}/{role}/{view}.png"
            assert path in seen.dom
            assert (path, 200) in site.witness.answers
    assert seen.console == ""
    assert share_of(seen.picture, OUTLINE) > 0.0005
    # Dark rooms: the page is dark where the browser asks for it.
    assert np.median(np.asarray(seen.picture)) < 48


def test_the_list_follows_the_ledger_without_a_reload(site: Site):
    exam = site.hospital.exam("moving").receive()
    site.witness.before["/exams"] = exam.close
    seen = site.open("/")
    assert "queued" in seen.dom
    assert '<span class="chip work">open</span>' not in seen.dom
    assert [path for path, _ in site.witness.answers].count("/") == 1
    assert ("/exams", 200) in site.witness.answers
    assert seen.console == ""


def test_a_study_page_that_is_refreshed_loads_no_picture_twice(site: Site):
    exam = site.hospital.exam("sending").receive().close().analyse()
    site.witness.before[f"/study/{exam.uid}/now"] = lambda: _deliver(exam)
    seen = site.open(f"/study/{exam.uid}")
    assert "3 of 3 accepted" in seen.dom
    pictures = [path for path, _ in site.witness.answers if path.endswith(".png")]
    assert len(pictures) == len(set(pictures)) == 2 * len(VIEWS)


def test_a_narrow_screen_shows_the_list_within_its_width(site: Site):
    site.hospital.exam("narrow", accession_number="A" * 16, patient_id="P" * 64).receive(
        ["R-CC"], [ImageKind.RECOMBINED]
    )
    seen = site.open("/", width=400)
    # Whatever is too wide brings a scroll bar to the bottom edge, which is bare otherwise.
    bottom = np.asarray(seen.picture).astype(int)[-6:]
    assert np.abs(bottom - bottom[0, 0]).max() <= 3


def _deliver(exam: Exam) -> None:
    exam.deliver()
