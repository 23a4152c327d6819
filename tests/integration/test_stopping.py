"""A node that is asked to stop ends, whichever of its threads the kernel asks."""

from __future__ import annotations

import ctypes
import signal
from pathlib import Path

from tests.peers import free_port, running_node

TOML = """
[listener]
port = {}
[web]
port = {}
[storage]
data_dir = "{}"
"""


def test_a_signal_that_another_thread_takes_ends_the_node(tmp_path: Path) -> None:
    port, http_port = free_port(), free_port()
    toml = TOML.format(port, http_port, tmp_path / "data")
    with running_node(tmp_path, toml, port, http_port, command="serve") as node:
        process = node.process
        threads = {int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()}
        another = max(threads - {process.pid})
        assert ctypes.CDLL(None).tgkill(process.pid, another, signal.SIGTERM) == 0
        assert process.wait(60) == 0
