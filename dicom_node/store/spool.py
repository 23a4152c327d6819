"""An object's file while it comes: written and hashed as it grows, or gone."""

from __future__ import annotations

import ctypes
import hashlib
import os
from contextlib import suppress
from pathlib import Path

EARLY = 4 << 20  # bytes after which the disk is told to begin
_PAGE = 4096
_WRITE = 2  # SYNC_FILE_RANGE_WRITE: start writing, wait for nothing
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


class SpoolFile:
    """A new file; every method but ``discard`` raises ``OSError`` when the disk cannot take it."""

    def __init__(self, path: Path, head: bytes) -> None:
        self.path = path
        self.size = 0
        self._begun = 0  # bytes whose way to the disk has begun
        self._hash = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file: int | None = os.open(path, flags, 0o600)
        try:
            self.write(memoryview(head))
        except OSError:
            self.discard()
            raise

    def write(self, data: memoryview) -> None:
        """Append ``data``."""
        assert self._file is not None  # noqa: S101 - neither finished nor discarded
        written = 0
        while written < len(data):
            written += os.write(self._file, data[written:] if written else data)
        self._hash.update(data)
        self.size += len(data)
        if self.size - self._begun >= EARLY:
            # Else all of it would wait for the fsync at the end, while the sender waits for us.
            self._send_off(self.size - self.size % _PAGE)

    def finish(self) -> str:
        """Close the file; the SHA-256 of its content as hexadecimal text."""
        self._send_off(self.size)  # on its way while the header is read
        self._close()
        return self._hash.hexdigest()

    def _send_off(self, end: int) -> None:
        """Let the disk begin with what is there up to ``end``."""
        assert self._file is not None  # noqa: S101 - neither finished nor discarded
        _LIBC.sync_file_range(self._file, self._begun, end - self._begun, _WRITE)
        self._begun = end

    def discard(self) -> None:
        """Close and remove the file; one that has moved elsewhere is no error."""
        with suppress(OSError):
            self._close()
        self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)
