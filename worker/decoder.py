"""Images decoded in processes of their own, which a damaged one may kill."""

from __future__ import annotations

import atexit
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import weakref
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.exam.decode import Compressed, Damaged

Pixels = npt.NDArray[np.integer]

START_S = 60.0  # until a fresh process is ready; a busy machine reads numpy slowly
ANSWER_S = 60.0  # by the wall; the process itself gives up after ten seconds of processor time
MESSAGE_BYTES = 4096


class _Child:
    """One decoding process with memory that both sides see; started at once, one image at a time.

    The memory is kept from image to image: fresh pages would cost more than what the codecs take
    longer here than in this process.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "worker.decoder_child", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        self._socket = ours
        self._shared: mmap.mmap | None = None
        self.started = False  # whether it ever was ready for an image

    def ask(self, image: Compressed) -> dict[str, Any]:
        """The answer for one image; its pixels lie at the beginning of ``shared``.

        Raises
        ------
        OSError
            When the process is dead or does not answer in time.
        """
        if not self.started:
            self._answer(START_S)
            self.started = True
        frame_at = image.shape[0] * image.shape[1] * image.pixel_bytes
        request = {
            "codec": image.codec,
            "shape": image.shape,
            "dtype": f"{'i' if image.signed else 'u'}{image.pixel_bytes}",
            "frame": [frame_at, frame_at + len(image.frame)],
        }
        descriptors = self._room_for(frame_at + len(image.frame))
        self.shared[frame_at : frame_at + len(image.frame)] = image.frame
        try:
            socket.send_fds(self._socket, [json.dumps(request).encode()], descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return self._answer(ANSWER_S)

    @property
    def shared(self) -> mmap.mmap:
        """The memory that both sides see, once there was an image."""
        if self._shared is None:
            raise OSError("the decoding process was never asked")
        return self._shared

    def _room_for(self, size: int) -> list[int]:
        """The descriptor of new memory, where what there is is too small."""
        if self._shared is not None and len(self._shared) >= size:
            return []
        descriptor = os.memfd_create("image")
        os.ftruncate(descriptor, size)
        self._shared = mmap.mmap(descriptor, size)
        return [descriptor]

    def _answer(self, within_s: float) -> dict[str, Any]:
        self._socket.settimeout(within_s)
        message = self._socket.recv(MESSAGE_BYTES)
        if not message:
            raise ConnectionResetError("the decoding process ended")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def end(self) -> int:
        """Kill it; the status with which it had ended already, or that of the kill."""
        self._socket.close()
        # One that is dead stays a zombie until it is waited for: its status is not lost.
        self._process.kill()
        return self._process.wait()


class Decoder:
    """Hands each image to an idle process, or to a new one; as many as images at one time."""

    def __init__(self) -> None:
        # Not a lock: arrays may be collected, and their processes come back, at any line.
        self._idle: deque[_Child] = deque()
        self._ends_with_us = False

    def warm_up(self) -> None:
        """Start a process ahead of the first image, without waiting for it."""
        self._idle.append(self._new())

    def __call__(self, image: Compressed) -> Pixels:
        """Pixels (rows, columns) of a compressed image.

        They lie in memory of the process that decoded them, which gets its next image only when
        nobody holds the array or a view of it any more.

        Raises
        ------
        Damaged
            When the codec refuses the stream, does not come to an end, or dies of it.
        OSError
            When no process can be started: nothing about the image.
        """
        child, answer = self._asked(image)
        if "error" in answer or tuple(answer["shape"]) != image.shape:
            self._idle.append(child)
            if "error" in answer:
                raise Damaged(answer["error"])
            raise Damaged(str(answer["shape"]), misfit=True)
        size = image.shape[0] * image.shape[1]
        flat = np.frombuffer(child.shared, answer["dtype"], size)
        # The base of every view: an array that owns no memory is never skipped.
        weakref.finalize(flat, self._idle.append, child).atexit = False
        return flat.reshape(image.shape)

    def _asked(self, image: Compressed) -> tuple[_Child, dict[str, Any]]:
        """What a process answers; one that was killed from outside is not held against an image."""
        for last in (False, True):
            child = self._take()
            try:
                return child, child.ask(image)
            except OSError as error:
                status = child.end()
                if not child.started:
                    raise OSError("the decoding process does not start") from error
                if last or isinstance(error, TimeoutError) or status != -signal.SIGKILL:
                    raise Damaged(_why(error, status)) from error
        raise AssertionError("unreachable")

    def _take(self) -> _Child:
        try:
            return self._idle.pop()
        except IndexError:
            return self._new()

    def _new(self) -> _Child:
        if not self._ends_with_us:
            self._ends_with_us = True
            atexit.register(self.close)
        return _Child()

    def close(self) -> None:
        """End every idle process."""
        while self._idle:
            self._idle.pop().end()


def _why(error: OSError, status: int) -> str:
    if isinstance(error, TimeoutError):
        return f"no end after {ANSWER_S:g} s"
    if status == -signal.SIGPROF:
        return "no end after 10 s of processor time"
    name = signal.Signals(-status).name if status < 0 else f"status {status}"
    return f"the codec crashed, {name}"


decode_apart = Decoder()  # processes are started when the first image comes
