"""Real peers for the tests: Orthanc, DCMTK, and a running node, each on free loopback ports."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import httpx
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.settings import Settings, load_settings
from dicom_node.store.archive import Archive
from dicom_node.store.ledger import Ledger
from dicom_node.store.overview import StudySheet
from tests import forked


def need(program: str, package: str) -> str:
    """Path of a peer's program; missing is a failure in CI and a skip elsewhere."""
    path = shutil.which(program)
    if path is None:
        lacking(f"{program} is not installed; apt-get install {package}")
    return path


def lacking(message: str) -> NoReturn:
    """A peer is missing: a failure in CI and a skip elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def plugin(file: str, package: str) -> str:
    """Path of a plugin of Orthanc; missing is a failure in CI and a skip elsewhere."""
    path = Path("/usr/share/orthanc/plugins") / file
    if not path.exists():
        lacking(f"Orthanc's {file} is not installed; apt-get install {package}")
    return str(path)


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """The first true value of ``condition``; fails with ``what`` when it never comes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    return pytest.fail(f"waited {seconds:g} s for {what}")


def opens(port: int) -> bool:
    with socket.socket() as trial:
        trial.settimeout(0.5)
        return trial.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Orthanc:
    """A running Orthanc: ``ae`` is its AE title, ``url`` its REST root."""

    port: int
    http_port: int
    ae: str = "ORTHANC"
    log: Path = Path()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def get(self, path: str) -> Any:
        return httpx.get(self.url + path, timeout=30).raise_for_status().json()

    def post(self, path: str, content: bytes | str) -> Any:
        return httpx.post(self.url + path, content=content, timeout=60).raise_for_status().json()

    def delete(self, path: str) -> None:
        httpx.delete(self.url + path, timeout=30).raise_for_status()

    def instances(self, study_uid: str) -> list[str]:
        query = {"Level": "Instance", "Query": {"StudyInstanceUID": study_uid}}
        return list(self.post("/tools/find", json.dumps(query)))

    def file(self, instance: str) -> bytes:
        return httpx.get(f"{self.url}/instances/{instance}/file", timeout=60).content

    def objects(self, study_uid: str, folder: Path) -> list[Dataset]:
        """Every instance of a study, written to ``folder`` and read back."""
        folder.mkdir(parents=True, exist_ok=True)
        found = []
        for instance in self.instances(study_uid):
            path = folder / f"{instance}.dcm"
            path.write_bytes(self.file(instance))
            found.append(dcmread(path))
        return found


@contextmanager
def orthanc(
    folder: Path,
    modalities: dict[str, tuple[str, int]],
    *,
    dicomweb: bool = False,
    more: Mapping[str, object] = MappingProxyType({}),
) -> Iterator[Orthanc]:
    """An Orthanc with an empty store; ``modalities`` maps a name to (AE title, port)."""
    program = need("Orthanc", "orthanc")
    plugins = [plugin("libOrthancDicomWeb.so", "orthanc-dicomweb")] if dicomweb else []
    peer = Orthanc(free_port(), free_port(), log=folder / "orthanc.log")
    config = {
        "Name": "tests",
        "StorageDirectory": str(folder / "store"),
        "IndexDirectory": str(folder / "store"),
        "Plugins": plugins,
        "HttpPort": peer.http_port,
        "DicomPort": peer.port,
        "DicomAet": peer.ae,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowStore": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "SyncStorageArea": False,
        "DicomModalities": {
            name: [ae, "127.0.0.1", port] for name, (ae, port) in modalities.items()
        },
        **more,
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(config))
    with peer.log.open("wb") as log:
        process = subprocess.Popen([program, str(file)], stdout=log, stderr=log)
    try:
        wait_until(lambda: opens(peer.http_port) and opens(peer.port), "Orthanc to start")
        yield peer
    finally:
        process.terminate()
        process.wait(30)


def storescu(port: int, files: list[Path], *options: str, ae: str = "FAPS") -> None:
    """Send files with DCMTK's storescu; a refused file is a failure."""
    program = need("storescu", "dcmtk")
    command = [program, "-aec", ae, "-aet", "MODALITY", *options, "127.0.0.1", str(port)]
    environment = {**os.environ, "TCP_NODELAY": "1"}
    result = subprocess.run(
        [*command, *map(str, files)], capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "E:" not in result.stderr, result.stderr


def dcmsend(port: int, folder: Path, *more: str, ae: str = "FAPS") -> None:
    """Send a folder with DCMTK's dcmsend."""
    program = need("dcmsend", "dcmtk")
    options = ["-aec", ae, "-aet", "MODALITY", "--scan-directories", "--recurse"]
    options += ["--scan-pattern", "*.dcm"]
    result = subprocess.run(
        [program, *options, *more, "127.0.0.1", str(port), str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


@dataclass
class RunningNode:
    """``dicom-node up`` as a process, and the ledger that it writes."""

    port: int
    http_port: int
    data: Path
    config: Path
    process: subprocess.Popen[bytes]
    settings: Settings
    ledger: Ledger = field(init=False)
    archive: Archive = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.settings.ledger_url)
        self.archive = Archive(self.settings.data_dir)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def sheet(self, study_uid: str) -> StudySheet | None:
        return self.ledger.overview.sheet(study_uid, self.settings.completeness.expected_views)

    def wait_for_state(self, study_uid: str, *states: str, seconds: float = 180.0) -> StudySheet:
        """The study's sheet once it is in one of ``states``."""

        def there() -> StudySheet | None:
            sheet = self.sheet(study_uid)
            return sheet if sheet is not None and sheet.line.state in states else None

        try:
            return wait_until(there, f"state {' or '.join(states)}", seconds)
        except pytest.fail.Exception:
            sheet = self.sheet(study_uid)
            line = sheet.line if sheet else None
            log = (self.data.parent / "node.log").read_text()[-2000:]
            pytest.fail(f"the study is {line}\n{log}")

    def cli(self, *arguments: str, status: int = 0) -> str:
        """Run a ``dicom-node`` command with this node's settings; its output."""
        result = dicom_node(*arguments, "--config", str(self.config))
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout + result.stderr


def dicom_node(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``dicom-node`` in a process of its own."""
    return forked.run("dicom_node", arguments, 300)


def faps(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run ``faps`` in a process of its own."""
    return forked.run("worker", arguments, timeout)


def from_scratch(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does: an interpreter is started, everything is imported."""
    return subprocess.run(
        [sys.executable, "-m", package, *arguments],
        capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "COLUMNS": "240"},
    )  # fmt: skip


# A process that receives beside the node's own, as by default, and not two: each costs its start.
ONE_RECEIVER = {"FAPS_NODE_LISTENER__PROCESSES": "1"}


@contextmanager
def running_node(
    folder: Path, toml: str, port: int, http_port: int, command: str = "up"
) -> Iterator[RunningNode]:
    """A node, with ``up`` its worker loaded; stopped by SIGTERM, which must end with status 0."""
    config = folder / "node.toml"
    config.write_text(toml)
    settings = load_settings(config)
    with (folder / "node.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dicom_node", command, "--config", str(config)],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **ONE_RECEIVER},
        )  # fmt: skip
    try:
        wait_until(lambda: opens(port) or process.poll() is not None, "the node's port")
        assert process.poll() is None, (folder / "node.log").read_text()
        node = RunningNode(port, http_port, settings.data_dir, config, process, settings)
        if command == "up":
            wait_until(lambda: node.ledger.workers.alive(30), "the worker", 240)
        yield node
        node.ledger.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 0, (folder / "node.log").read_text()[-3000:]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
