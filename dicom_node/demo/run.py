"""The trial run: one phantom exam from a modality through the node into a PACS."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from dicom_node.demo.pacs import Pacs
from dicom_node.demo.summary import Trip, summary
from dicom_node.embedded import wait_for
from dicom_node.errors import FapsNodeError
from dicom_node.send import Sent, send_folder
from dicom_node.settings import (
    Destination,
    Settings,
    child_environment,
    default_settings,
    write_effective,
)
from dicom_node.store.archive import Archive
from dicom_node.store.folder_lock import hold
from dicom_node.store.ledger import Ledger
from dicom_node.store.overview import StudySheet

PACS_AE, MODALITY_AE = "DEMO_PACS", "DEMO_MODALITY"
READY_S, PHANTOM_S, RESULT_S, STOP_S = 120.0, 300.0, 300.0, 60.0
_FINAL = {"confirmed", "held", "ignored"}
_FINAL_WITH_REPORT = {"unsuitable", "failed"}


class DemoError(FapsNodeError):
    """The trial did not reach its end; the message says where it stopped."""

    code = "demo"


@dataclass(frozen=True)
class Options:
    """What a trial needs to know; ports that are taken are replaced by free ones."""

    data: Path
    seed: int
    port: int
    http_port: int
    pacs_port: int
    say: Callable[[str], None]


class Demo:
    """A node, a PACS and a modality for as long as the trial runs."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._say = options.say
        ports = _free_ports((options.port, options.http_port, options.pacs_port))
        port, http_port, pacs_port = ports
        self.node = Destination(name="node", ae_title="FAPS", host="127.0.0.1", port=port)
        self.page = f"http://127.0.0.1:{http_port}/"
        self._pacs_port = pacs_port
        self._http_port = http_port
        self.folder = options.data.resolve()
        self._lock = hold(self.folder, "demo")
        self.received = self.folder / "pacs"
        shutil.rmtree(self.received, ignore_errors=True)
        self.pacs = Pacs(self.received, PACS_AE, pacs_port)
        self.pacs.knows(self.node)
        # A node.toml that lies here is the hospital's: the trial must not touch what it names.
        self._settings: Settings = default_settings(
            {"storage": {"data_dir": str(self.folder / "node")}}
        )

    def run(self, stay: Callable[[], None]) -> None:
        """Start everything, send one exam, wait for its results, say the summary, then ``stay``.

        Raises
        ------
        DemoError
            When a part does not start, or the results do not all come back.

        """
        self.pacs.start()
        self._say(f"PACS     {PACS_AE} listens on port {self._pacs_port}")
        with phantom(self.folder / "phantom", self._options.seed) as made, self._node():
            self._say(f"phantom  making one exam, seed {self._options.seed} (8 images) ...")
            images = made()
            self._say("node     waiting for the worker to load the model ...")
            ledger = Ledger(self._settings.ledger_url)
            if not wait_for(lambda: bool(ledger.workers.alive(30)), READY_S):
                raise DemoError(f"no worker after {READY_S:g} s; see {self.folder / 'node.log'}")
            self._say(f"modality sending {MODALITY_AE} -> FAPS@127.0.0.1:{self.node.port}")
            sent = send_folder(images, self.node, MODALITY_AE)
            trip = self._wait(ledger, sent)
            ledger.close()
            archive = Archive(self._settings.data_dir)
            self._say(summary(trip, archive, self.page, self.received))
            self._check(trip)
            stay()

    @contextmanager
    def _node(self) -> Iterator[None]:
        """``dicom-node up`` as a process of its own, as an administrator would start it."""
        log = self.folder / "node.log"
        command = [
            sys.executable, "-m", "dicom_node", "up",
            "--data", str(self._settings.data_dir),
            "--port", str(self.node.port), "--http-port", str(self._http_port),
            "--ae", self.node.ae_title,
            "--to", f"{PACS_AE}@127.0.0.1:{self._pacs_port}", "--confirm", "commitment",
        ]  # fmt: skip
        with log.open("wb") as out:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter, fixed arguments
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=child_environment(write_effective(self._settings)),
            )
        try:
            self._say(f"node     FAPS listens on port {self.node.port}, page {self.page}")
            if not wait_for(
                lambda: _answers(self.node.port) or process.poll() is not None, READY_S
            ):
                raise DemoError(f"the node did not open its port; see {log}")
            if process.poll() is not None:
                raise DemoError(f"the node ended at once; see {log}\n{_tail(log)}")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
            self.pacs.stop()

    def _wait(self, ledger: Ledger, sent: list[Sent]) -> Trip:
        refused = [s for s in sent if not s.accepted]
        if refused:
            raise DemoError(f"the node refused {refused[0].path.name}: {refused[0].reason}")
        study = str(dcmread(sent[0].path, stop_before_pixels=True).StudyInstanceUID)
        sheet: list[StudySheet] = []

        def over() -> bool:
            found = ledger.overview.sheet(study, ())
            if found is None:
                return False
            sheet[:] = [found]
            delivered = all(d["state"] in {"committed", "refused"} for d in found.deliveries)
            state = found.line.state
            return state in _FINAL or (
                state in _FINAL_WITH_REPORT and bool(found.deliveries) and delivered
            )

        if not wait_for(over, RESULT_S):
            state = sheet[0].line.state if sheet else "never arrived"
            raise DemoError(f"no end after {RESULT_S:g} s, the exam is {state!r}; see {self.page}")
        return Trip(sheet=sheet[0], last_answer_at=max(s.answered_at for s in sent))

    def _check(self, trip: Trip) -> None:
        """Every object that the node made is in the PACS, which has committed to keep it."""
        if not trip.sheet.deliveries:
            raise DemoError(f"the exam is {trip.sheet.line.state}: {trip.sheet.line.reason}")
        kept = self.pacs.received
        for delivery in trip.sheet.deliveries:
            name = f"{delivery['role']} {delivery['key']}"
            if delivery["state"] != "committed":
                raise DemoError(f"{name} is only {delivery['state']}: {delivery['reason']}")
            if delivery["sop_instance_uid"] not in kept:
                raise DemoError(f"{name} is not among what the PACS keeps")


@contextmanager
def phantom(folder: Path, seed: int) -> Iterator[Callable[[], Path]]:
    """Make one phantom exam in the background; the value waits for it and gives its folder."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [
        sys.executable, "-m", "worker", "phantom", "--out", str(folder),
        "--seed", str(seed), "--run", str(time.time_ns()),
    ]  # fmt: skip
    process = subprocess.Popen(  # noqa: S603 - our own interpreter, fixed arguments
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )

    def wait() -> Path:
        try:
            _, errors = process.communicate(timeout=PHANTOM_S)
        except subprocess.TimeoutExpired:
            raise DemoError(f"no phantom was made in {PHANTOM_S:g} s; try again") from None
        if process.returncode != 0:
            raise DemoError(f"no phantom was made: {errors.decode(errors='replace')[-500:]}")
        return folder

    try:
        yield wait
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _free_ports(wanted: tuple[int, ...]) -> tuple[int, ...]:
    """Each port as wanted where it is free, else one that the system gives."""
    held, ports = [], []
    try:
        for port in wanted:
            trial = socket.socket()
            held.append(trial)
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                trial.bind(("127.0.0.1", 0))
            ports.append(int(trial.getsockname()[1]))
    finally:
        for trial in held:
            trial.close()
    return tuple(ports)


def _answers(port: int) -> bool:
    with socket.socket() as trial:
        trial.settimeout(1)
        return trial.connect_ex(("127.0.0.1", port)) == os.EX_OK


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:])
