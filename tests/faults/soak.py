"""``make soak``: many exams through one site, a fault a minute, and what it holds afterwards.

Four modalities send all the time; at the end everything is audited, and memory, files and threads
of the node are compared with those after the first tenth.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from random import Random
from statistics import linear_regression

from tests.faults.auditor import audit, open_books
from tests.faults.exams import Exam, make_exam
from tests.faults.modality import Modality
from tests.faults.runs import PENDING, make_calm
from tests.faults.scenarios import SCENARIOS
from tests.faults.site import Site
from tests.faults.zygote import processes

SENDERS = 4
WAITING = 12  # exams that may be under way before the next one is sent
SETTLE_S = 600.0
KEEPS_NODE = 5  # of six faults so many leave the node's process alive, so that it can age
PAGE = os.sysconf("SC_PAGE_SIZE")
KILLS_NODE = {"node killed", "node stopped in order", "everything killed"}
MIB = 1 << 20


class Soak:
    """One site, its senders and its faults."""

    def __init__(self, site: Site, exams: int, fault_every_s: float, seed: int) -> None:
        self._site = site
        self._exams = exams
        self._fault_every_s = fault_every_s
        self._rng = Random(seed)
        self._work: SimpleQueue[Exam] = SimpleQueue()
        self._stop = threading.Event()
        self._sent = 0
        self.faults: list[str] = []
        self.marks: list[dict[str, float]] = []

    def carry_out(self) -> None:
        threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]
        threads.append(threading.Thread(target=self._spoil))
        for thread in threads:
            thread.start()
        for number in range(self._exams):
            self._wait_for_room()
            name = f"soak.{number}"
            self._work.put(
                make_exam(self._site.folder / "exams" / name, name, self._rng, tiny=True)
            )
            if number % max(1, self._exams // 20) == 0:
                self._mark(number)
        self._settle(self._all_sent)
        self._stop.set()
        for thread in threads:
            thread.join()
        make_calm(self._site)
        self._settle(lambda: not self._pending())
        self._mark(self._exams)

    def _send(self) -> None:
        modality = Modality(self._site.front.port, self._site.sent)
        while not self._stop.is_set():
            with suppress(Empty):
                exam = self._work.get(timeout=0.2)
                modality.send(exam.images, self._stop)
                self._sent += 1
                for image in exam.images:
                    image.path.unlink()

    def _spoil(self) -> None:
        able = [name for name, s in SCENARIOS.items() if self._site.kind in s.kinds]
        able = [
            n for n in able if SCENARIOS[n].exam == "plain" and SCENARIOS[n].ends == {"confirmed"}
        ]
        gentle = [name for name in able if name not in KILLS_NODE]
        while not self._stop.wait(self._fault_every_s):
            rough = self._rng.randrange(KEEPS_NODE + 1) == KEEPS_NODE
            name = self._rng.choice(able if rough else gentle)
            scenario = SCENARIOS[name]
            end = scenario.begin(self._site, Random(self._rng.randrange(2**32)))
            time.sleep(self._rng.uniform(*scenario.hold))
            end()
            make_calm(self._site)
            self._site.end_others()
            self.faults.append(name)

    def _pending(self) -> int:
        with suppress(Exception):  # the database may be away
            return int(self._site.view.rows(PENDING)[0]["pending"])
        return 1

    def _wait_for_room(self) -> None:
        while self._work.qsize() > SENDERS or self._pending() > WAITING * 4:
            time.sleep(0.1)

    def _all_sent(self) -> bool:
        return self._sent == self._exams

    def _settle(self, done: object) -> None:
        assert callable(done)
        end = time.monotonic() + SETTLE_S
        while not done() and time.monotonic() < end:
            self._site.let_pass(10)
            time.sleep(1)

    def _mark(self, exams: int) -> None:
        mark = {"exams": exams, "objects": len(self._site.sent.rows)} | holdings(self._site)
        self.marks.append(mark)
        _say(", ".join(f"{name} {value:g}" for name, value in mark.items()))

    def growth(self) -> Iterator[str]:
        """What grew within the last life of the node's process.

        Pools, caches and arenas fill at first; what goes on growing shows in the second half.
        """
        life = [mark for mark in self.marks if mark["pid"] == self.marks[-1]["pid"]]
        first, last = life[min(len(life) - 1, 2)], life[-1]
        middle = (first["objects"] + last["objects"]) / 2
        half = [mark for mark in life if mark["objects"] >= middle]
        yield f"node RSS {slope([first, last])}; in its second half {slope(half)}"
        for name in ("node files", "node threads", "spool files"):
            yield f"{name} {last[name] - first[name]:+g}"


def slope(marks: list[dict[str, float]]) -> str:
    """How memory grows with the objects, as a straight line through the marks."""
    objects = [mark["objects"] / 1000 for mark in marks]
    if len(set(objects)) < 2:
        return "unknown, too few marks"
    line = linear_regression(objects, [mark["node RSS MiB"] for mark in marks])
    return f"{line.slope:+.2f} MiB per 1,000 objects, of {1000 * (objects[-1] - objects[0]):.0f}"


def holdings(site: Site) -> dict[str, float]:
    """What node and worker hold now."""
    found: dict[str, float] = {"pid": site.node.pid}
    for name, pids in (("node", [site.node.pid]), ("worker", site.worker_children())):
        found[f"{name} RSS MiB"] = round(sum(_rss(pid) for pid in pids) / MIB, 1)
        found[f"{name} files"] = sum(_entries(pid, "fd") for pid in pids)
        found[f"{name} threads"] = sum(_entries(pid, "task") for pid in pids)
    found["spool files"] = len(list((site.data / "spool").iterdir()))
    found["processes"] = sum(parent == site.zygote.pid for parent in processes().values())
    return found


def _rss(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    return 0


def _entries(pid: int, kind: str) -> int:
    with suppress(OSError):
        return len(list(Path(f"/proc/{pid}/{kind}").iterdir()))
    return 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a program's output


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--exams", type=int, default=1200)
    parser.add_argument("--kind", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--fault-every", type=float, default=60.0, help="seconds")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    site = Site(folder, options.kind, disk_mb=2048)
    begun = time.monotonic()
    try:
        site.start()
        soak = Soak(site, options.exams, options.fault_every, options.seed)
        soak.carry_out()
        breaches = [*map(str, audit(open_books(folder), site.orphans())), *site.stop()]
    finally:
        site.close()
    _say("")
    _say(f"exams {options.exams}, objects acknowledged {site.sent.count(status=0)}, "
         f"faults {len(soak.faults)}, violations {len(breaches)}, "
         f"{time.monotonic() - begun:.0f} s")  # fmt: skip
    for words in (*soak.growth(), *breaches):
        _say(words)
    (folder / "soak.json").write_text(json.dumps({"marks": soak.marks, "faults": soak.faults}))
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
