"""An object's file while it comes: written and hashed as it grows, or gone."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
from contextlib import suppress
from pathlib import Path

from dicom_node.store.blocks import BLOCK, give, take

EARLY = 4 << 20  # bytes in the page cache after which the disk is told to begin
CACHED = 1 << 20  # bytes of a file's beginning that stay in the page cache: its header is read
_PAGE = 4096
_WRITE = 2  # SYNC_FILE_RANGE_WRITE: start writing, wait for nothing
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


class SpoolFile:
    """A new file, locked while it grows; but for ``discard`` a method may raise ``OSError``.

    What follows the first ``CACHED`` bytes is gathered in a block, again and again, and goes to the
    disk past the page cache where the file system can do that: less than half the work, and nothing
    is left to wait for at the end.
    """

    def __init__(self, path: Path, head: bytes, *, direct: bool = True) -> None:
        self.path = path
        self.size = 0
        self._begun = 0  # bytes whose way to the disk has begun
        self._hash = hashlib.sha256()
        self._wants_direct = direct
        self._direct: int | None = None
        self._block: memoryview | None = None
        self._filled = 0  # bytes of the block
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file: int | None = os.open(path, flags, 0o600)
        with suppress(OSError):  # no locks in this file system: then its age says who is at work
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            self.write(memoryview(head))
        except OSError:
            self.discard()
            raise

    def write(self, data: memoryview) -> None:
        """Append ``data``."""
        if self._block is None:
            first = data[: CACHED - self.size]
            self._put(first)
            self._hash.update(first)
            data = data[len(first) :]
            if self.size == CACHED:
                self._begin_blocks()
        while data:
            data = self._gather(data)

    def finish(self) -> str:
        """Write the rest and close the file; the SHA-256 of its content as hexadecimal text."""
        if self._block is not None:
            self._put_block(self._block[: self._filled])
            self._end_blocks()
        self._send_off(self.size)  # on its way while the header is read
        self._close()
        return self._hash.hexdigest()

    def discard(self) -> None:
        """Close and remove the file; one that has moved elsewhere is no error."""
        self._end_blocks()
        with suppress(OSError):
            self._close()
        self.path.unlink(missing_ok=True)

    def _begin_blocks(self) -> None:
        self._send_off(self.size)
        self._block = take()
        if self._wants_direct:
            with suppress(OSError):  # this file system knows the page cache alone
                self._direct = os.open(self.path, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)

    def _gather(self, data: memoryview) -> memoryview:
        """Take what the block has room for; what is left of ``data``."""
        assert self._block is not None  # noqa: S101 - blocks have begun
        end = min(BLOCK, self._filled + len(data))
        size = end - self._filled
        self._block[self._filled : end] = data[:size]
        self._filled = end
        if end == BLOCK:
            self._put_block(self._block)
        return data[size:]

    def _put_block(self, data: memoryview) -> None:
        self._hash.update(data)
        self._put(data)
        self._filled = 0

    def _put(self, data: memoryview) -> None:
        """Write ``data`` at the end of the file."""
        while data:
            written = self._put_some(data)
            self.size += written
            data = data[written:]
        if self._direct is None and self.size - self._begun >= EARLY:
            # Else all of it would wait for the fsync at the end, while the sender waits for us.
            self._send_off(self.size - self.size % _PAGE)

    def _put_some(self, data: memoryview) -> int:
        assert self._file is not None  # noqa: S101 - neither closed nor discarded
        if self._direct is not None and len(data) == BLOCK:
            try:
                return os.pwrite(self._direct, data, self.size)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._close_direct()  # it wants larger pages than ours
        return os.pwrite(self._file, data, self.size)

    def _send_off(self, end: int) -> None:
        """Let the disk begin with what is there up to ``end``."""
        assert self._file is not None  # noqa: S101 - neither closed nor discarded
        _LIBC.sync_file_range(self._file, self._begun, end - self._begun, _WRITE)
        self._begun = end

    def _end_blocks(self) -> None:
        block, self._block = self._block, None
        if block is not None:
            give(block)

    def _close_direct(self) -> None:
        direct, self._direct = self._direct, None
        if direct is not None:
            os.close(direct)

    def _close(self) -> None:
        self._close_direct()
        file, self._file = self._file, None
        if file is not None:
            os.close(file)
