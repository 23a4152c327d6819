"""Spool files of many threads on a disk that fails now and then: whole, or refused, never else."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from dicom_node.store.blocks import BLOCK
from dicom_node.store.spool import CACHED, SpoolFile

SECONDS = 3.0
PWRITE = os.pwrite
THREADS = 3
SIZES = (100, CACHED, CACHED + 1, CACHED + BLOCK)
PORTIONS = (65_536, 384 << 10, 2 << 20)


def moody(rng: Random) -> Callable[[int, memoryview, int], int]:
    """``pwrite`` of a disk that is full, slow, wants other pages, or takes a part."""

    def write(file: int, data: memoryview, offset: int) -> int:
        mood = rng.random()
        if mood < 0.01:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if mood < 0.03 and len(data) == BLOCK:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if mood < 0.3 and len(data) > 1:
            data = data[: rng.randrange(1, len(data))]
        if mood > 0.8:
            time.sleep(0.002)
        return PWRITE(file, data, offset)

    return write


def come(path: Path, rng: Random) -> str:
    """One object, in portions; what became of it."""
    size = rng.choice((*SIZES, rng.randrange(CACHED, 6 * BLOCK)))
    content = rng.randbytes(size)
    spool = SpoolFile(path, content[:5], direct=rng.random() < 0.7)
    begun, stops_at = 5, rng.choice((size, size, size, size // 2))
    try:
        while begun < stops_at:
            portion = rng.choice(PORTIONS)
            spool.write(memoryview(content)[begun : begun + portion])
            begun += portion
        if begun < size:
            return "broken off"
        sha256 = spool.finish()
        kept = path.read_bytes() == content and spool.size == size
        return "kept" if kept and sha256 == hashlib.sha256(content).hexdigest() else "wrong"
    except OSError:
        return "refused"
    finally:
        spool.discard()


def test_what_comes_is_whole_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", moody(Random(7)))  # noqa: S311 - no secret
    files = len(list(Path("/proc/self/fd").iterdir()))
    ends: Counter[str] = Counter()
    until = time.monotonic() + SECONDS

    def send(seed: int) -> None:
        rng, number = Random(seed), 0  # noqa: S311 - no secret
        while time.monotonic() < until:
            number += 1
            try:
                ends[come(tmp_path / f"{seed}-{number}.part", rng)] += 1
            except OSError:
                ends["refused"] += 1

    threads = [threading.Thread(target=send, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends["kept"] > 0
    assert ends["refused"] > 0
    assert ends["wrong"] == 0
    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == files
