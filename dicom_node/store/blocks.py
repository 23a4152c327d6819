"""Blocks of memory that a disk reads from directly."""

from __future__ import annotations

import mmap

BLOCK = 768 << 10  # bytes; page-aligned, as O_DIRECT wants them (open(2))
_SPARE = 2  # that are kept for the next object instead of being given back
_spare: list[memoryview] = []


def take() -> memoryview:
    """``BLOCK`` bytes on a page's border that are nobody else's; what is in them means nothing."""
    try:
        return _spare.pop()
    except IndexError:
        return memoryview(mmap.mmap(-1, BLOCK, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def give(block: memoryview) -> None:
    """Hand a block back."""
    if len(_spare) < _SPARE:
        _spare.append(block)
