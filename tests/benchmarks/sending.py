"""How fast results go out, beside DCMTK's storescu to the same storescp in the same minutes.

Medians of rounds in turns; MB are 10^6 bytes. Peers have TCP_NODELAY=1 in their environment.
"""

from __future__ import annotations

import mmap
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    SegmentationStorage,
)
from pynetdicom.presentation import build_context

from dicom_node.associate import ANSWER_S, association
from dicom_node.destination_section import Destination
from dicom_node.domain.dicom_file import file_bytes
from dicom_node.domain.identifiers import derive_uid
from dicom_node.push import Line, dataset_of, held
from tests.integration.post import Post
from tests.peers import free_port, need, opens, wait_until

ROUNDS = 5
IMAGES = 12
IMAGE_BYTES = 17_000_000
RESULTS = 40  # sets of SEG and SR on one association
CLASSES = (
    DigitalMammographyXRayImageStorageForPresentation,
    SegmentationStorage,
    Comprehensive3DSRStorage,
)


def write(folder: Path, sop_class: str, name: str, size: int) -> Path:
    """A DICOM file with ``size`` bytes of noise as its pixels."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, derive_uid("bench", name)
    ds.StudyInstanceUID = derive_uid("bench", "study")
    ds.SeriesInstanceUID = derive_uid("bench", "series")
    ds.PatientID = "BENCH"
    ds.BitsAllocated = 16
    noise = np.random.default_rng(len(name)).integers(0, 65536, size // 2, dtype=np.uint16)
    ds.add_new(0x7FE00010, "OW", noise.tobytes())
    path = folder / f"{name}.dcm"
    path.write_bytes(file_bytes(ds))
    return path


@contextmanager
def storescp(folder: Path) -> Iterator[int]:
    """DCMTK's receiver at its best: bit-preserving, large PDUs, a process for each association."""
    port = free_port()
    folder.mkdir()
    options = ["--fork", "+B", "--max-pdu", "131072", "-od", str(folder), "-aet", "PACS"]
    server = subprocess.Popen(
        [need("storescp", "dcmtk"), *options, str(port)],
        env={**os.environ, "TCP_NODELAY": "1"}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: opens(port), "storescp")
        yield port
    finally:
        server.terminate()
        server.wait()


@contextmanager
def line_to(port: int) -> Iterator[tuple[Line, dict[str, int]]]:
    """An association to the receiver, held, with its contexts by class."""
    target = Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=port)
    contexts = [build_context(one, ExplicitVRLittleEndian) for one in CLASSES]
    with association(target, "BENCH", contexts) as assoc:
        ids = {str(one.abstract_syntax): one.context_id or 0 for one in assoc.accepted_contexts}
        with held(assoc, ANSWER_S) as line:
            yield line, ids


def store(line: Line, ids: dict[str, int], path: Path, meta: tuple[str, str]) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        view = memoryview(content)
        dataset = dataset_of(view)
        answer = line.store(ids[meta[0]], *meta, dataset)
        dataset.release()
        view.release()
    assert answer.Status == 0x0000


def identity(path: Path) -> tuple[str, str]:
    meta = dcmread(path, stop_before_pixels=True).file_meta
    return str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID)


def ours(port: int, files: list[Path]) -> tuple[float, float]:
    """Speed of one association, opening and release included."""
    metas = [identity(path) for path in files]
    start = time.perf_counter(), cpu(resource.RUSAGE_SELF)
    with line_to(port) as (line, ids):
        for path, meta in zip(files, metas, strict=True):
            store(line, ids, path, meta)
    return speed(files, start, resource.RUSAGE_SELF)


def storescu(port: int, files: list[Path]) -> tuple[float, float]:
    """Speed of DCMTK, start of its process included."""
    command = [need("storescu", "dcmtk"), "-aec", "PACS", "-R", "--max-pdu", "131072"]
    start = time.perf_counter(), cpu(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [*command, "127.0.0.1", str(port), *map(str, files)],
        env={**os.environ, "TCP_NODELAY": "1"}, check=True, capture_output=True,
    )  # fmt: skip
    return speed(files, start, resource.RUSAGE_CHILDREN)


def speed(files: list[Path], start: tuple[float, float], whose: int) -> tuple[float, float]:
    """MB/s and CPU seconds for a GB, since ``start``."""
    size = sum(path.stat().st_size for path in files)
    return size / 1e6 / (time.perf_counter() - start[0]), (cpu(whose) - start[1]) / size * 1e9


def cpu(whose: int) -> float:
    """CPU seconds of this process, or of its children that have ended."""
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def results(port: int, files: list[Path]) -> list[float]:
    """Milliseconds of each set of SEG and SR on one association that is kept."""
    metas = [identity(path) for path in files]
    taken = []
    with line_to(port) as (line, ids):
        for _ in range(RESULTS):
            start = time.perf_counter()
            for path, meta in zip(files, metas, strict=True):
                store(line, ids, path, meta)
            taken.append((time.perf_counter() - start) * 1e3)
    return taken


def ledger_too(folder: Path, port: int) -> list[float]:
    """Milliseconds of each exam through the postman: integrity check, ledger and all."""
    post = Post(folder, port, keep_open_s=60)
    taken = []
    for number in range(20):
        post.another(f"exam {number}")
    for _ in range(21):
        start = time.perf_counter()
        post.deliverer.tick()
        taken.append((time.perf_counter() - start) * 1e3)
    post.deliverer.close()
    return taken[1:]  # the first one opens the association


def main() -> None:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        images = [write(folder, CLASSES[0], f"image {n}", IMAGE_BYTES) for n in range(IMAGES)]
        sizes = ((CLASSES[1], "seg", 1_060_000), (CLASSES[2], "sr", 20_000))
        pair = [write(folder, sop_class, name, size) for sop_class, name, size in sizes]
        with storescp(folder / "pacs") as port:
            bulk, sets = measure(folder / "pacs", port, images, pair)
            exams = ledger_too(folder / "node", port)
    say(f"{IMAGES} images of {IMAGE_BYTES / 1e6:.0f} MB on one association, medians:")
    for name, runs in bulk.items():
        speeds, cpu = zip(*runs, strict=True)
        spread = f"({min(speeds):.0f}..{max(speeds):.0f})"
        speed = f"{statistics.median(speeds):.0f} MB/s {spread}"
        say(f"  {name:<9} {speed}, {statistics.median(cpu):.2f} CPU s/GB")
    ratio = statistics.median(
        mine[0] / theirs[0] for mine, theirs in zip(bulk["ours"], bulk["storescu"], strict=True)
    )
    say(f"  ours to storescu, paired: {ratio:.2f}")
    say(f"SEG (1.06 MB) and SR (20 KB) on a kept association: {quantiles(sets)}")
    say(f"an exam of two small objects with ledger and integrity check: {quantiles(exams)}")


Runs = list[tuple[float, float]]  # MB/s, CPU seconds of the sender for a GB


def measure(
    kept: Path, port: int, images: list[Path], pair: list[Path]
) -> tuple[dict[str, Runs], list[float]]:
    """Rounds in turns, the first one not counted: bulk of both, milliseconds of result sets.

    Who comes first changes, and each finds the disk at rest: else one would wait for what the
    receiver still has to write of the other.
    """
    senders = {"storescu": storescu, "ours": ours}
    bulk: dict[str, Runs] = {name: [] for name in senders}
    sets: list[float] = []
    for turn in range(ROUNDS + 1):
        told = {}
        for name in sorted(senders, reverse=bool(turn % 2)):
            told[name] = senders[name](port, images)
            for path in kept.iterdir():
                path.unlink()
            os.sync()
        taken = results(port, pair)
        if turn:
            for name, run in told.items():
                bulk[name].append(run)
            sets += taken
    return bulk, sets


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def quantiles(values: list[float]) -> str:
    high = statistics.quantiles(values, n=20)[-1]
    return f"p50 {statistics.median(values):.1f} ms, p95 {high:.1f} ms, best {min(values):.1f} ms"


if __name__ == "__main__":
    main()
