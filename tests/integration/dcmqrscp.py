"""DCMTK's dcmqrscp as an archive that answers C-FIND, C-MOVE and, if wanted, C-GET."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers import free_port, need, opens, wait_until

CONFIG = """
NetworkTCPPort = {port}
MaxPDUSize = 65536
MaxAssociations = 8
HostTable BEGIN
node = (FAPS, 127.0.0.1, {node_port})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
ARCHIVE {store} RW (50, 512mb) ANY
AETable END
"""


@contextmanager
def dcmqrscp(folder: Path, node_port: int, *options: str) -> Iterator[int]:
    """An empty archive ARCHIVE that moves to the node; its port."""
    program = need("dcmqrscp", "dcmtk")
    port, store = free_port(), folder / "archive"
    store.mkdir(parents=True)
    config = folder / "dcmqrscp.cfg"
    config.write_text(CONFIG.format(port=port, store=store, node_port=node_port))
    with (folder / "dcmqrscp.log").open("wb") as log:
        process = subprocess.Popen([program, *options, "-c", str(config)], stdout=log, stderr=log)
    try:
        wait_until(lambda: opens(port), "dcmqrscp to start")
        yield port
    finally:
        process.terminate()
        process.wait(30)
