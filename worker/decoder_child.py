"""A process that does nothing but decode: what a damaged image can kill, and nothing else.

``python -m worker.decoder_child DESCRIPTOR`` answers requests on a Unix socket until that closes.
It imports numpy and the codecs and nothing else of this product.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import socket
import sys
from typing import Any

import numpy as np

from worker.codecs import decode_frame

MEMORY_BYTES = 1 << 30  # private memory; OpenJPEG takes ten bytes for each pixel
CPU_S = 10.0  # of one image; the slowest codec needs one for the largest detector
MESSAGE_BYTES = 4096
LONGEST_REASON = 300


def main() -> None:
    """Answer one request after another."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no pixel goes to a disk
    connection = socket.socket(fileno=int(sys.argv[1]))
    # imagecodecs lets an error of OpenJPH pass where no exception can: the pixels are then wrong.
    swallowed: list[str] = []
    sys.unraisablehook = lambda lost: swallowed.append(str(lost.exc_value))
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # codecs print; logs are JSON
    connection.send(b"{}")
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 1)
        if not message:
            return
        for descriptor in descriptors:  # the memory that is used from now on
            shared = mmap.mmap(descriptor, 0)
            os.close(descriptor)
        # Processor time of this process, all threads: a codec that never ends is ended (SIGPROF),
        # whatever became of the other side.
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        answer = answered(json.loads(message), shared)
        if swallowed:
            answer = {"error": swallowed[0][:LONGEST_REASON]}
            swallowed.clear()
        signal.setitimer(signal.ITIMER_PROF, 0)
        connection.send(json.dumps(answer).encode())


def answered(request: dict[str, Any], shared: mmap.mmap) -> dict[str, Any]:
    """Decode the frame that lies in ``shared`` to its beginning; what came of it."""
    shape, (start, end) = tuple(request["shape"]), request["frame"]
    try:
        view = memoryview(shared)
        out = np.frombuffer(view, request["dtype"], shape[0] * shape[1]).reshape(shape)
        pixels = decode_frame(request["codec"], view[start:end], out)
    except Exception as error:  # noqa: BLE001 - the edge of this process
        return {"error": (str(error) or type(error).__name__)[:LONGEST_REASON]}
    if pixels.shape == shape and not np.shares_memory(pixels, out):
        if pixels.nbytes > out.nbytes or pixels.dtype.kind not in "iu":
            return {"error": f"its pixels are {pixels.dtype}, the header says {out.dtype}"}
        np.frombuffer(view, pixels.dtype, pixels.size).reshape(shape)[:] = pixels
    return {"shape": pixels.shape, "dtype": pixels.dtype.str}


if __name__ == "__main__":
    main()
