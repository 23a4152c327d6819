"""Receivers to measure, each a process of its own: the node, DCMTK's storescp, Orthanc."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers import free_port, need, opens, wait_until

_TICKS = os.sysconf("SC_CLK_TCK")
NAGLE_OFF = {"TCP_NODELAY": "1"}  # DCMTK's own variable, which Orthanc's DCMTK reads too


@dataclass
class Receiving:
    """A receiver that runs; its children count with it."""

    port: int
    process: subprocess.Popen[bytes]
    peak: float = 0.0

    def pids(self) -> list[int]:
        """The process and whatever descends from it."""
        found, asked = [], [self.process.pid]
        while asked:
            pid = asked.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    asked += map(int, task.read_text().split())
                except OSError:
                    continue
        return found

    def cpu_s(self) -> float:
        """CPU seconds so far, those of children that have ended included."""
        total = 0
        for pid in self.pids():
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
            except OSError:
                continue
            total += sum(map(int, fields[11:15]))
        return total / _TICKS

    def peak_mb(self) -> float:
        """The most memory that the largest process had."""
        peaks = [0.0]
        for pid in self.pids():
            try:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            except OSError:
                continue
            peaks += [int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM")]
        return max(peaks)

    def settle(self) -> None:
        """Let the start's own work end."""
        before = -1.0
        while self.cpu_s() - before > 0.02:
            before = self.cpu_s()
            time.sleep(0.25)


def node(folder: Path, port: int) -> list[str]:
    """The node as a service, without a limit that a benchmark would meet."""
    config = folder / "node.json"
    settings = {
        "listener": {
            "port": port,
            "accepts_per_s": 1e6,
            "max_associations": 128,
            "max_per_address": 128,
        },
        "web": {"port": free_port()},
        "storage": {"data_dir": str(folder / "data"), "free_min_gb": 0.1},
        "logs": {"level": "warning"},
    }
    config.write_text(json.dumps(settings))
    return [sys.executable, "-m", "dicom_node", "serve", "--config", str(config)]


def dcmtk(folder: Path, port: int) -> list[str]:
    """A process for each association, bytes as they come, large PDUs."""
    (folder / "store").mkdir()
    options = ["+xa", "-od", str(folder / "store"), "-aet", "FAPS"]
    return [need("storescp", "dcmtk"), *options, "--fork", "+B", "--max-pdu", "131072", str(port)]


def orthanc(folder: Path, port: int) -> list[str]:
    """Its defaults: each file is synced."""
    config = folder / "orthanc.json"
    settings = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "DicomPort": port,
        "DicomAet": "FAPS",
        "HttpServerEnabled": False,
        "Plugins": [],
    }
    config.write_text(json.dumps(settings))
    return [need("Orthanc", "orthanc"), str(config)]


RECEIVERS = {"node": node, "dcmtk": dcmtk, "orthanc": orthanc}


@contextmanager
def receiving(name: str, folder: Path) -> Iterator[Receiving]:
    """Start a receiver in an empty folder, and end it."""
    port = free_port()
    command = RECEIVERS[name](folder, port)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **NAGLE_OFF})
    try:
        wait_until(lambda: opens(port), f"{name} to start: {folder}", 60)
        yield Receiving(port, process)
    finally:
        process.terminate()
        process.wait(60)
