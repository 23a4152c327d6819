"""Memory of processes with many threads."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dicom_node import memory

_THREADS = """
import ctypes, sys, threading
from dicom_node import memory
if sys.argv[1] == "few":
    memory.begin()
kept, ready = [], threading.Barrier(17)
def work():
    kept.append(ctypes.create_string_buffer(10_000))
    ready.wait()
for _ in range(16):
    threading.Thread(target=work).start()
ready.wait()
print(open("/proc/self/maps").read())
"""
_HEAP = 64 << 20  # bytes at whose multiples the C library begins a heap of a thread


def _heaps(repository: Path, which: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _THREADS, which],
        cwd=repository, capture_output=True, text=True, check=True,
    )  # fmt: skip
    begins = re.findall(r"^([0-9a-f]+)-\S+ rw-p 00000000 00:00 0\s*$", done.stdout, re.MULTILINE)
    return sum(int(begin, 16) % _HEAP == 0 for begin in begins)


def test_threads_share_a_few_heaps(repository: Path) -> None:
    if _heaps(repository, "many") <= memory.HEAPS:
        pytest.skip("this C library gives threads no heaps of their own")
    assert _heaps(repository, "few") < memory.HEAPS  # the first one is the process's own


_GARBAGE = """
import gc
from dicom_node import memory
kept = [[] for _ in range(400_000)]
memory.started()
before = gc.get_stats()[2]["collections"]
for _ in range(200_000):
    one = []
    one.append(one)
print(gc.get_stats()[2]["collections"] - before)
"""


def test_garbage_is_collected_in_full_though_much_is_kept(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _GARBAGE],
        cwd=repository, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) > 0


def test_what_stays_is_left_out_of_collections() -> None:
    before = gc.get_freeze_count()
    try:
        memory.started()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()
