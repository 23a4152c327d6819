"""Drives a headless Chromium by the DevTools protocol over two pipes, without a package for it."""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.peers import need, wait_until

WIDTH, HEIGHT = 1500, 900
# Software WebGL: viewers draw with it, and the machine has no graphics card. No --disable-gpu.
FLAGS = (
    "--headless", "--no-sandbox", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
    "--remote-debugging-pipe",
)  # fmt: skip
ANSWER_S = 120.0


class ScriptError(Exception):
    """JavaScript in the page threw."""


class Pipe:
    """Messages to and from the browser: JSON, each ended by a zero byte."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._numbers = itertools.count(1)
        self._rest = b""
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """The result of one command; events that come before it are kept."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(method)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            self.events.append(answer)

    def _next(self, method: str) -> dict[str, Any]:
        end = time.monotonic() + ANSWER_S
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"Chromium did not answer to {method} in {ANSWER_S:g} s"
            part = os.read(self._answers, 1 << 20)
            assert part, f"Chromium ended during {method}"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))


class Tab:
    """One page with storage of its own."""

    def __init__(self, pipe: Pipe, before: str) -> None:
        context = pipe.call("Target.createBrowserContext")["browserContextId"]
        target = pipe.call("Target.createTarget", url="about:blank", browserContextId=context)
        attached = pipe.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._pipe, self._context = pipe, context
        self._session = attached["sessionId"]
        self._call("Page.enable")
        self._call("Runtime.enable")
        self._call("Page.addScriptToEvaluateOnNewDocument", source=before)
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._pipe.call(method, self._session, **params)

    def close(self) -> None:
        self._pipe.call("Target.disposeBrowserContext", browserContextId=self._context)

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)

    def ask(self, function: str, *arguments: object) -> Any:
        """What a JavaScript function returns in the page."""
        listed = ", ".join(json.dumps(argument) for argument in arguments)
        answer = self._call(
            "Runtime.evaluate", expression=f"({function})({listed})",
            returnByValue=True, awaitPromise=True,
        )  # fmt: skip
        if "exceptionDetails" in answer:
            raise ScriptError(json.dumps(answer["exceptionDetails"])[:600])
        return answer["result"].get("value")

    def wait_for(self, what: str, function: str, *arguments: object, seconds: float = 90.0) -> Any:
        """The first true value that the function returns; what throws is not there yet."""

        def there() -> Any:
            try:
                return self.ask(function, *arguments)
            except ScriptError:
                return None

        try:
            return wait_until(there, what, seconds)
        except BaseException as error:
            error.add_note("\n".join(self.errors()))
            raise

    def errors(self) -> list[str]:
        """What scripts of the page threw or complained of."""
        told = [
            json.dumps(event["params"].get("exceptionDetails", event["params"].get("args")))[:400]
            for event in self._pipe.events
            if event.get("sessionId") == self._session
            and (
                event["method"] == "Runtime.exceptionThrown"
                or (
                    event["method"] == "Runtime.consoleAPICalled"
                    and event["params"]["type"] == "error"
                )
            )
        ]
        return told[-20:]

    def picture(self) -> np.ndarray:
        """The page as (rows, columns, 3) int."""
        png = base64.b64decode(self._call("Page.captureScreenshot")["data"])
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)

    def picture_at_rest(self) -> np.ndarray:
        """The page once three pictures in a row are the same."""
        seen = [self.picture()]

        def rests() -> bool:
            time.sleep(0.3)
            seen.append(self.picture())
            last = seen[-3:]
            return len(last) == 3 and all(np.abs(last[0] - other).max() < 3 for other in last)

        wait_until(rests, "the page to come to rest")
        return seen[-1]

    def double_click(self, selector: str) -> None:
        x, y = self._middle(selector)
        for clicks in (1, 2):
            self._mouse("mousePressed", x, y, clickCount=clicks, button="left")
            self._mouse("mouseReleased", x, y, clickCount=clicks, button="left")

    def click(self, selector: str) -> None:
        x, y = self._middle(selector)
        self._mouse("mousePressed", x, y, clickCount=1, button="left")
        self._mouse("mouseReleased", x, y, clickCount=1, button="left")

    def drag(self, start: tuple[float, float], end: tuple[float, float], button: str) -> None:
        held = {"left": 1, "right": 2, "middle": 4}[button]
        self._mouse("mousePressed", *start, clickCount=1, button=button)
        for part in (0.5, 1.0):
            x, y = (a + part * (b - a) for a, b in zip(start, end, strict=True))
            self._mouse("mouseMoved", x, y, button=button, buttons=held)
        self._mouse("mouseReleased", *end, clickCount=1, button=button)

    def _middle(self, selector: str) -> tuple[float, float]:
        x, y = self.wait_for(
            f"{selector} on the page",
            """selector => {
                const found = document.querySelector(selector);
                if (!found) return null;
                found.scrollIntoView({ block: 'center' });
                const box = found.getBoundingClientRect();
                return [box.left + box.width / 2, box.top + box.height / 2];
            }""",
            selector,
        )
        return float(x), float(y)

    def _mouse(self, kind: str, x: float, y: float, **how: Any) -> None:
        self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **how)


class Chromium:
    """A running browser."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    @contextmanager
    def tab(self, before: str = "") -> Iterator[Tab]:
        """A page of its own; ``before`` runs in it before any other script."""
        tab = Tab(self._pipe, before)
        try:
            yield tab
        finally:
            tab.close()


@contextmanager
def chromium(folder: Path) -> Iterator[Chromium]:
    """Debian's Chromium with an empty profile in ``folder``."""
    program = need("chromium", "chromium")
    browser_reads, we_write = os.pipe()
    we_read, browser_writes = os.pipe()
    # The browser wants its pipes as file descriptors 3 and 4.
    shell = f'exec "$0" "$@" 3<&{browser_reads} 4>&{browser_writes}'
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", shell, program, *FLAGS, f"--user-data-dir={folder / 'profile'}"],
            pass_fds=[browser_reads, browser_writes],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    os.close(browser_reads)
    os.close(browser_writes)
    pipe = Pipe(we_write, we_read)
    try:
        yield Chromium(pipe)
        pipe.call("Browser.close")
        process.wait(30)
    finally:
        os.close(we_write)
        os.close(we_read)
        if process.poll() is None:
            process.kill()
            process.wait()
