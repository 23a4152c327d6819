"""How fast objects are received and kept, beside DCMTK and Orthanc, in turns in one run.

    python tests/benchmarks/ingest.py [--rounds N] [--only node,dcmtk,orthanc] [--loads TEXT]

Every object is another one. The node answers after file, folder and row are durable and the content
is hashed; Orthanc syncs its file and not its index; DCMTK's storescp syncs nothing: it is what this
machine can do at best. Each gets two objects on each association first. Both peers run without
Nagle's algorithm, which would cost them 40 ms for each object. Prints medians over the rounds, and
what the node uses of CPU and memory.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.benchmarks.receivers import RECEIVERS, Receiving, receiving
from tests.mammogram_headers import mammogram
from tests.raw_sender import ASSOCIATE_AC, Caller, encoded

LARGE = (3328, 2560)  # 17 MB
SMALL = (512, 512)  # 512 KiB
MOST_PDU = 1 << 20  # the sender takes what the receiver offers
# Numbers of objects that no measurement has used.
_FIRST = itertools.count(int(time.time()) * 10**10, 10**8)
PREFIX = "2.25.1"  # of every UID, which ends in 30 digits of its own


@dataclass(frozen=True)
class Load:
    """What is sent in one measurement."""

    name: str
    shape: tuple[int, int]
    associations: int
    objects: int  # by each of them
    one_each: bool = False  # a new association for each object


LOADS = (
    Load("17 MB, 1 association", LARGE, 1, 24),
    Load("17 MB, 4 associations", LARGE, 4, 8),
    Load("17 MB, 16 associations", LARGE, 16, 3),
    Load("512 KiB, 1 association", SMALL, 1, 150),
    Load("512 KiB, 4 associations", SMALL, 4, 60),
    Load("512 KiB, 16 associations", SMALL, 16, 25),
    Load("512 KiB, 1, a new association each", SMALL, 1, 60, one_each=True),
    Load("512 KiB, 4, a new association each", SMALL, 4, 30, one_each=True),
)


@dataclass(frozen=True)
class Result:
    """One measurement of one receiver."""

    objects_s: float
    mb_s: float
    p50_ms: float
    p99_ms: float
    cpu_s_gb: float
    rss_mb: float
    failed: int


VIEWS = tuple(itertools.product("RL", ("CC", "MLO"), (False, True)))  # eight images of an exam


class Template:
    """The images of one exam as bytes, in which three UIDs are replaced for each object."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._places = {
            name: f"{PREFIX}{number}".ljust(37, "0")
            for number, name in enumerate(("study", "series", "instance"), 1)
        }
        self._heads = []
        for side, view, recombined in VIEWS:
            ds = mammogram(shape, laterality=side, view=view, recombined=recombined)
            ds.StudyInstanceUID = self._places["study"]
            ds.SeriesInstanceUID = self._places["series"]
            ds.SOPInstanceUID = self._places["instance"]
            content = encoded(ds)
            size = len(content) - len(ds.PixelData)
            self._heads.append(content[:size])
        self._pixels = memoryview(content)[size:]

    def make(self, number: int) -> tuple[str, list[bytes | memoryview]]:
        """SOP Instance UID and data set of an object; eight numbers make an exam."""
        head = self._heads[number % len(VIEWS)]
        study = number // len(VIEWS)
        uids = {"study": study, "series": study, "instance": number}
        for name, place in self._places.items():
            uid = f"{place[:7]}{uids[name]:030d}"
            head = head.replace(place.encode(), uid.encode())
        return uid, [head, self._pixels]


def send(
    port: int, load: Load, first: int, barrier: Any, results: Any
) -> None:  # pragma: no cover - in processes of its own
    """One sender: seconds of each object, and how many were not taken."""
    template = Template(load.shape)
    seconds, failed, caller = [], 0, None
    barrier.wait()
    begin = time.monotonic()
    for number in range(first, first + load.objects):
        uid, parts = template.make(number)
        start = time.monotonic()
        if caller is None:
            caller = Caller(port, most=MOST_PDU, timeout_s=120)
            assert caller.associate() == ASSOCIATE_AC
            if not load.one_each:
                start = time.monotonic()
        failed += caller.store(uid, parts).status != 0
        if load.one_each:
            caller.release()
            caller = None
        seconds.append(time.monotonic() - start)
    results.put((begin, time.monotonic(), seconds, failed))


def measure(receiver: Receiving, load: Load, first: int) -> Result:
    """Send one load."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(load.associations), context.Queue()
    receiver.settle()
    before = receiver.cpu_s()
    senders = [
        context.Process(
            target=send, args=(receiver.port, load, first + 100_000 * number, barrier, results)
        )
        for number in range(load.associations)
    ]
    for sender in senders:
        sender.start()
    answers = [results.get(timeout=300) for _ in senders]
    for sender in senders:
        sender.join()
    took = max(end for _, end, _, _ in answers) - min(begin for begin, _, _, _ in answers)
    seconds = sorted(one for _, _, some, _ in answers for one in some)
    objects = len(seconds)
    size = objects * 2 * load.shape[0] * load.shape[1]
    return Result(
        objects_s=objects / took,
        mb_s=size / took / 1e6,
        p50_ms=1e3 * seconds[objects // 2],
        p99_ms=1e3 * seconds[min(objects - 1, int(objects * 0.99))],
        cpu_s_gb=(receiver.cpu_s() - before) / size * 1e9,
        rss_mb=receiver.peak_mb(),
        failed=sum(failed for _, _, _, failed in answers),
    )


def median(results: list[Result]) -> Result:
    """Of each figure by itself."""
    return Result(
        **{
            name: statistics.median(getattr(result, name) for result in results)
            for name in Result.__dataclass_fields__
        }
    )


def idle(port: int, number: int, receiver: Receiving) -> tuple[float, float]:
    """Milliseconds to set one association up, and CPU in per cent of a core while all are idle."""
    callers, took = [], []
    for _ in range(number):
        begin = time.monotonic()
        caller = Caller(port)
        assert caller.associate() == ASSOCIATE_AC
        took.append(time.monotonic() - begin)
        callers.append(caller)
    before, begin = receiver.cpu_s(), time.monotonic()
    time.sleep(5)
    share = (receiver.cpu_s() - before) / (time.monotonic() - begin)
    for caller in callers:
        caller.release()
    return 1e3 * statistics.median(took), 100 * share


def turns(load: Load, names: list[str], rounds: int) -> dict[str, Result]:
    """The receivers one after the other, again and again; the first round only warms up."""
    results: dict[str, list[Result]] = {name: [] for name in names}
    for turn, name in itertools.product(range(rounds + 1), names):
        os.sync()  # nobody waits for what the one before has left to write, or has deleted
        with tempfile.TemporaryDirectory() as folder, receiving(name, Path(folder)) as one:
            # A receiver runs for months: what it does at its first objects alone is not measured.
            measure(one, replace(load, objects=2), next(_FIRST))
            result = measure(one, load, next(_FIRST))
        if turn:
            results[name].append(result)
    return {name: median(some) for name, some in results.items()}


def say(text: str) -> None:
    """One line of the report, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def show(load: Load, medians: dict[str, Result]) -> None:
    """One load as lines of the table."""
    say(f"\n{load.name}")
    for name, one in medians.items():
        ratios = " ".join(
            f"{one.objects_s / other.objects_s:.2f}x {peer}"
            for peer, other in medians.items()
            if name == "node" and peer != name
        )
        say(
            f"  {name:8}{one.mb_s:7.0f} MB/s {one.objects_s:7.0f}/s  p50 {one.p50_ms:6.1f}"
            f"  p99 {one.p99_ms:6.1f} ms  {one.cpu_s_gb:5.2f} CPU s/GB  {one.rss_mb:5.0f} MB"
            f"  {one.failed:g} failed  {ratios}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(RECEIVERS))
    parser.add_argument("--loads", default="", help="part of the names of loads; - for none")
    given = parser.parse_args()
    names = given.only.split(",")
    for load in LOADS:
        if given.loads in load.name:
            show(load, turns(load, names, given.rounds))
    if "node" in names:
        with tempfile.TemporaryDirectory() as folder, receiving("node", Path(folder)) as node:
            measure(node, replace(LOADS[0], objects=2), next(_FIRST))
            for number in (1, 16, 64):
                ms, share = idle(node.port, number, node)
                say(f"{number} idle associations: set-up {ms:.1f} ms, {share:.1f} % of a core")


if __name__ == "__main__":
    main()
