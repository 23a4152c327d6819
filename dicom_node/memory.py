"""How processes that run for months, in dozens of threads, keep their memory."""

from __future__ import annotations

import ctypes
import gc

_ARENA_MAX = -8  # M_ARENA_MAX of mallopt(3)
HEAPS = 2


def begin() -> None:
    """Let all threads share a few heaps; before there are threads.

    The C library gives each thread one of its own, and what any of them ever needed stays with it:
    a node grew by 4 MiB with each thousand objects for as long as anybody watched.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # not every C library has it, nor these heaps
        mallopt(_ARENA_MAX, HEAPS)


def started() -> None:
    """Leave what is there by now, and stays, out of every garbage collection."""
    gc.collect()
    gc.freeze()
    # Full collections wait until a quarter has been added to what the last one found: next to
    # nothing, then. Else garbage of many MiB would lie about first.
    gc.collect()
