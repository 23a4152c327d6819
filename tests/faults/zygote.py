"""A process that has imported everything and forks nodes and workers within milliseconds.

Interpreter and imports cost a node 3 s and a worker 7 s; a fault run that kills one would pay them
each time. What is forked runs the product's own commands: ``dicom-node serve`` and the command line
of ``dicom-node worker``. Only the networks are replaced (see ``stub``).
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)
LOOK_S = 0.02
START_S = 120


class Zygote:
    """The forking process as the harness sees it."""

    def __init__(self, log: Path, environment: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.zygote"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file,
                env={**os.environ, **environment}, text=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> None:
        self._ask({"do": "ready"})

    def spawn(self, what: str, config: Path, log: Path, folder: Path) -> int:
        """Fork a ``node`` or a ``worker``; its process id."""
        request = {"do": what, "config": str(config), "log": str(log), "folder": str(folder)}
        return int(self._ask(request)["pid"])

    def ended(self) -> dict[int, int]:
        """Wait status of every child that has ended, orphans adopted from its children too."""
        return {int(pid): status for pid, status in self._ask({"do": "ended"})["ended"].items()}

    def children(self) -> set[int]:
        """Live processes whose parent is the zygote: what it forked, and orphans of that."""
        return {pid for pid, parent in processes().items() if parent == self.pid}

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the zygote has died, see its log")
        return dict(json.loads(line))


def processes() -> dict[int, int]:
    """Parent of every live process; zombies have ended and are left out."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text(errors="replace")
                state, parent = text.rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if state not in {"Z", "X"}:
                found[int(folder.name)] = int(parent)
    return found


def _serve(folder: str) -> None:
    del folder
    from dicom_node.__main__ import main

    sys.argv = ["dicom-node", "serve"]
    main()


def _work(folder: str) -> None:
    import worker.desk
    from dicom_node.embedded import worker_command
    from tests.faults.stub import KnownAnswer

    worker.desk.load = lambda *_, **__: KnownAnswer(Path(folder))  # type: ignore[assignment]  # the one thing that is faked
    from celery.__main__ import main

    sys.argv = ["celery", *worker_command()[3:]]
    main()


_COMMANDS = {"node": _serve, "worker": _work}


def _mend_sleep() -> None:
    """libfaketime 0.9.10 refuses sleeps until a moment of a clock that it shall not fake."""

    def sleep(seconds: float) -> None:
        select.select([], [], [], seconds)

    time.sleep = sleep


def _import_everything() -> None:
    import celery.bin.celery
    import celery.concurrency.prefork
    import kombu.transport.redis
    import psycopg
    import torch

    import dicom_node.__main__
    import worker.desk
    from worker.report.seg import warm_up

    del celery, kombu, psycopg, dicom_node, worker
    torch.set_num_threads(1)  # a pool of threads does not survive a fork
    warm_up()


def _fork(request: Mapping[str, str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        _redirect(request["log"])
        os.environ["FAPS_NODE_CONFIG"] = request["config"]
        _COMMANDS[request["do"]](request["folder"])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - the end of a process
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _redirect(log: str) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for source, target in ((null, 0), (file, 1), (file, 2)):
        os.dup2(source, target)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - descriptors
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _reap(ended: dict[int, int]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        ended[pid] = status


def _loop() -> None:
    """Answer requests until the harness hangs up; children end with us."""
    ended: dict[int, int] = {}
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    buffer = b""
    while True:
        _reap(ended)
        readable, _, _ = select.select([0], [], [], LOOK_S)
        if not readable:
            continue
        received = os.read(0, 65536)
        if not received:
            return
        *lines, buffer = (buffer + received).split(b"\n")
        for line in lines:
            request = json.loads(line)
            answer: dict[str, Any] = {}
            if request["do"] == "ended":
                answer["ended"], ended = dict(ended), {}
            elif request["do"] != "ready":
                answer["pid"] = _fork(request)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if "LD_PRELOAD" in os.environ:
        _mend_sleep()
    _import_everything()
    gc.freeze()
    _loop()
