"""A node with everything around it, each part of which can be killed and is started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from dicom_node.store.database import Database
from dicom_node.store.migrate import migrate
from tests.faults.databases import Server
from tests.faults.ledgers import PeerLedger
from tests.faults.modality import Modality
from tests.faults.pacs import FaultyPacs
from tests.faults.proxy import FaultProxy
from tests.faults.queue_server import Queue
from tests.faults.view import View
from tests.faults.zygote import Zygote, processes
from tests.peers import free_port, opens

LEASE_S = 6.0
DISK_MB = 256
RESTART_S = 0.2  # what systemd's RestartSec or a container's restart takes here
UP_S = 30.0
TOML = """
[listener]
port = {port}
ae_title = "FAPS"
idle_s = 15
processes = {processes}

[web]
port = {http_port}

[storage]
data_dir = "{data}"
ledger_url = "{ledger_url}"
free_min_gb = 0

[queue]
url = "redis://127.0.0.1:{queue_port}/0"

[worker]
lease_s = {lease_s}
watchdog_s = 6
threads = 1

[completeness]
expected_views = ["L CC"]
settle_s = 0.5
quiet_s = 2
deadline_s = 4

[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {pacs_port}
confirm = "commitment"
outputs = ["seg", "sr"]

[[destinations]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = {archive_port}
outputs = ["sr"]
"""


_WAITING = (
    ("deliveries", "next_at", ""),
    ("deliveries", "asked_at", ""),
    ("reaches", "probe_at", ""),
    ("jobs", "next_at", " WHERE state = 'queued'"),
)


class Part:
    """A forked process that a supervisor starts again when it dies."""

    def __init__(self, site: Site, what: str) -> None:
        self._site = site
        self._what = what
        self.pid = 0
        self.wanted = False
        self.starts = 0

    def start(self) -> None:
        log = self._site.folder / f"{self._what}.log"
        self.wanted = True
        self.starts += 1
        self.pid = self._site.zygote.spawn(
            self._what, self._site.config, log, self._site.folder / "wishes"
        )

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Site:
    """Node, worker, queue, database, modality and two destinations, on free loopback ports."""

    def __init__(self, folder: Path, kind: str, disk_mb: int = DISK_MB) -> None:
        self.folder = folder
        self.kind = kind
        for name in ("wishes", "exams", "data"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.clock = folder / "clock"
        self.clock.write_text("+0")
        self.disk_is_ours = _mount(folder / "data", disk_mb)
        self.zygote = Zygote(folder / "zygote.log", self._environment())
        self.server = Server(folder) if kind == "postgres" else None
        self.ledger_url = self.server.url if self.server else f"sqlite:///{self.data / 'ledger.db'}"
        self.view = View(self.ledger_url)
        self.port, self.http_port = free_port(), free_port()
        self.sent = PeerLedger(folder / "sender.jsonl")
        self.stored = PeerLedger(folder / "pacs.jsonl")
        self.queue = Queue(folder / "queue")
        rng = Random(0)
        self.pacs = FaultyPacs("pacs", self.stored, rng, self.port, commits=True)
        self.archive = FaultyPacs("archive", self.stored, rng, self.port, commits=False)
        self.back = FaultProxy(self.pacs.port)  # before the PACS
        self.front = FaultProxy(self.port)  # before the node
        self.modality = Modality(self.front.port, self.sent)
        self.config = folder / "node.toml"
        self.node, self.worker = Part(self, "node"), Part(self, "worker")
        self.others: list[Part] = []  # further workers, which end with the run
        self._closed = False
        self._stop = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)

    @property
    def data(self) -> Path:
        return self.folder / "data" / "node"

    def start(self) -> None:
        """Bring everything up; returns when the port is open and the worker has said so."""
        self.data.mkdir(exist_ok=True)
        values = {
            "port": self.port, "http_port": self.http_port, "data": self.data,
            "ledger_url": self.ledger_url, "queue_port": self.queue.port, "lease_s": LEASE_S,
            # One process that receives is started anew with its node: only where it is struck.
            "processes": int(self.kind == "postgres"),
            "pacs_port": self.back.port, "archive_port": self.archive.port,
        }  # fmt: skip
        self.config.write_text(TOML.format(**values))
        about = {"ledger_url": self.ledger_url, "data_dir": str(self.data), "lease_s": LEASE_S}
        (self.folder / "site.json").write_text(json.dumps(about))
        self.queue.start()
        database = Database(self.ledger_url)
        migrate(database)
        database.close()
        self.zygote.wait_ready()
        self.node.start()
        self.worker.start()
        self._supervisor.start()
        self.wait(lambda: opens(self.port), "the node's port")

    def wait(self, condition: Callable[[], object], what: str, seconds: float = UP_S) -> float:
        """Wait for something; how long it took."""
        begun = time.monotonic()
        while not condition():
            if time.monotonic() - begun > seconds:
                raise TimeoutError(f"waited {seconds:g} s for {what}")
            time.sleep(0.02)
        return time.monotonic() - begun

    @property
    def _parts(self) -> list[Part]:
        return [self.node, self.worker, *self.others]

    def end_others(self) -> None:
        """Further workers go as those do whose machine is switched off."""
        for part in self.others:
            children = [pid for pid, parent in processes().items() if parent == part.pid]
            for pid in (part.pid, *children):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.wait(lambda part=part: not part.pid, "a further worker to end")  # type: ignore[misc]
        self.others.clear()

    def receivers(self) -> list[int]:
        """The processes that receive: children of the node's own."""
        return [pid for pid, parent in processes().items() if parent == self.node.pid]

    def worker_children(self) -> list[int]:
        """The processes that analyse: children of the worker's parent process."""
        return [pid for pid, parent in processes().items() if parent == self.worker.pid]

    def orphans(self) -> set[int]:
        """Processes that a killed parent has left behind and that still run."""
        return self.zygote.children() - {part.pid for part in self._parts}

    def _environment(self) -> dict[str, str]:
        if self.kind != "clock":
            return {}
        library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
        return {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_NO_CACHE": "1",  # a jump is one for all processes, as on a real host
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def let_pass(self, seconds: float) -> None:
        """Let time pass for what waits for its time: the next attempt, question or probe."""
        for table, column, where in _WAITING:
            statement = f"UPDATE {table} SET {column} = {column} - ?{where}"
            with suppress(Exception):  # the database may be away
                self.view.change(statement, [seconds])

    def set_clock(self, seconds: float) -> None:
        """Let the clock of node and worker differ from the host's by so much."""
        part = self.clock.with_suffix(".part")
        part.write_text(f"{seconds:+g}")
        part.replace(self.clock)

    def _supervise(self) -> None:
        while not self._stop.wait(0.05):
            ended = self.zygote.ended()
            for part in self._parts:
                if part.pid in ended:
                    part.pid = 0
            again = [part for part in self._parts if part.wanted and not part.pid]
            if again and not self._stop.wait(RESTART_S):
                for part in again:
                    part.start()

    def stop(self) -> list[str]:
        """End everything in order; what did not end as it should."""
        wrong = []
        self._stop.set()
        self._supervisor.join()
        for part in (self.worker, self.node):
            part.wanted = False
            part.kill(signal.SIGCONT)
            part.kill(signal.SIGTERM)
        ended: dict[int, int] = {}

        def both_ended() -> bool:
            ended.update(self.zygote.ended())
            return all(not part.pid or part.pid in ended for part in (self.node, self.worker))

        try:
            self.wait(both_ended, "node and worker to stop", 60)
        except TimeoutError as error:
            wrong.append(str(error))
        wrong += [
            f"{part._what} ended with wait status {ended[part.pid]} when asked to stop"
            for part in (self.node, self.worker)
            if ended.get(part.pid)
        ]
        self.close()
        return wrong

    def close(self) -> None:
        """End whatever is left, without asking."""
        if self._closed:
            return
        self._closed = True
        self._stop.set()
        self.zygote.close()
        for peer in (self.front, self.back, self.pacs, self.archive, self.sent, self.stored):
            peer.close()
        self.queue.close()
        self.view.close()
        if self.server is not None:
            self.server.close()
        if self.disk_is_ours:
            subprocess.run(["umount", "--lazy", self.folder / "data"], check=False)


def _mount(folder: Path, size_mb: int) -> bool:
    """A small disk of its own for the data folder, where we may mount one."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "faults", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
