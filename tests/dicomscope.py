"""Drives OFFIS DICOMscope, a viewer of presentation states, on a screen of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from tests.peers import need, wait_until

ROOT = ("90", "71")  # "All Studies" in the tree of the browser
OPEN = ("54", "14")  # in the tool bar
# Root, first study, its last series (of the presentation state, which comes last), its object.
WAY = ("Right", "Down", "Right", "End", "Right", "End")
VIEW = (slice(120, 950), slice(10, 1000))  # rows and columns of the screen that show the image


@contextmanager
def screen() -> Iterator[str]:
    """A virtual screen; yields the name for DISPLAY."""
    end, far = os.pipe()
    size = ["-screen", "0", "1280x1024x24"]
    server = subprocess.Popen(
        [need("Xvfb", "xvfb"), "-displayfd", str(far), *size],
        pass_fds=[far],
        stderr=subprocess.DEVNULL,
    )
    os.close(far)
    try:
        yield f":{os.read(end, 16).decode().strip()}"
    finally:
        os.close(end)
        server.terminate()
        server.wait(10)


def shown(files: list[Path], folder: Path, display: str) -> np.ndarray:
    """Grey screenshot of the viewer with the presentation state, the last of ``files``."""
    folder.mkdir()
    names = [shutil.copy(file, folder / f"f{n}.dcm").name for n, file in enumerate(files)]
    index = [need("dcmqridx", "dcmtk"), ".", *names]
    subprocess.run(index, cwd=folder, check=True, capture_output=True)
    environment = {**os.environ, "DISPLAY": display, "HOME": str(folder)}
    viewer = subprocess.Popen(
        [need("dicomscope", "dicomscope")],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for_rest(folder, environment)
        _type(environment, "mousemove", *ROOT, "click", "1")
        for key in WAY:
            _wait_for_rest(folder, environment)
            _type(environment, "key", key)
        _wait_for_rest(folder, environment)
        browser = _screenshot(folder, environment)
        _type(environment, "mousemove", *OPEN, "click", "1")
        wait_until(
            lambda: np.mean(_screenshot(folder, environment) != browser) > 0.2, "the image to open"
        )
        return _wait_for_rest(folder, environment)
    finally:
        os.killpg(viewer.pid, signal.SIGTERM)
        viewer.wait(10)


def _type(environment: dict[str, str], *words: str) -> None:
    subprocess.run([need("xdotool", "xdotool"), *words], env=environment, check=True)


def _wait_for_rest(folder: Path, environment: dict[str, str]) -> np.ndarray:
    """A screenshot that is not black, and the same three times in a row."""
    last: list[np.ndarray] = []

    def rests() -> bool:
        last.append(_screenshot(folder, environment))
        seen = last[-3:]
        still = len(seen) == 3 and all(np.array_equal(seen[0], other) for other in seen)
        return still and bool((seen[0] > 200).mean() > 0.05)

    wait_until(rests, "DICOMscope's window to come to rest")
    return last[-1]


def _screenshot(folder: Path, environment: dict[str, str]) -> np.ndarray:
    file = folder / "screen.png"
    command = [need("import", "imagemagick"), "-window", "root", file]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return np.asarray(Image.open(file).convert("L")).astype(int)
