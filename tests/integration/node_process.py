"""A whole node in a process of its own, to be killed; nothing is imported anew for each."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from dicom_node.logs import configure
from dicom_node.node import Node
from dicom_node.settings import load_settings
from tests.forked import CONTEXT
from tests.peers import free_port


def settings_of(folder: Path, port: int, processes: int) -> dict[str, Any]:
    """Settings of a node without a queue, that waits long for the rest of an exam."""
    return {
        "storage": {"data_dir": str(folder), "ledger_url": "", "free_min_gb": 0},
        "listener": {"port": port, "max_pdu_bytes": 16384, "processes": processes},
        "completeness": {"settle_s": 600, "quiet_s": 600},
        "queue": {"url": "redis://127.0.0.1:1/0"},
        "web": {"port": free_port()},
    }


def _serve(folder: Path, port: int, processes: int, ready: Event) -> None:
    configure("error")
    node = Node(load_settings(overrides=settings_of(folder, port, processes)), embedded=False)
    node.start()
    ready.set()
    threading.Event().wait()


@contextmanager
def killable_node(folder: Path, port: int, processes: int = 0) -> Iterator[Any]:
    """A node that listens; it dies without notice at the end, if not before.

    It receives by itself, or by ``processes`` that it starts, and that end when it is gone.
    """
    ready = CONTEXT.Event()
    process = CONTEXT.Process(target=_serve, args=(folder, port, processes, ready))
    process.start()
    try:
        assert ready.wait(60), "the node does not start"
        yield process
    finally:
        process.kill()
        process.join()
