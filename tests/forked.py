"""The product's commands as processes that do not import everything anew.

Interpreter and imports cost a ``dicom-node`` command more than a second, a ``faps`` command three.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
WIDE = {"COLUMNS": "240"}
CONTEXT.set_forkserver_preload(["tests.preloaded", "tests.integration.node_process"])


def run(package: str, arguments: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run ``python -m package`` with these arguments, as ``subprocess.run`` would."""
    command = [package, *arguments]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("stdout", "stderr")]
        process: Any = CONTEXT.Process(target=_main, args=(command, files, {**os.environ, **WIDE}))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command, timeout)
        out, err = (file.read_text() for file in files)
        return subprocess.CompletedProcess(command, process.exitcode, out, err)


def _main(command: Sequence[str], files: Sequence[Path], environment: Mapping[str, str]) -> None:
    for descriptor, file in zip((1, 2), files, strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ |= environment
    sys.argv = list(command)
    importlib.import_module(f"{command[0]}.__main__").main()
