"""``make faults``: seeded fault runs in parallel lanes, and what they showed."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.faults.recovery import TARGETS
from tests.faults.runs import plan
from tests.faults.scenarios import SCENARIOS

CHUNK = 80  # runs on one site: its disk is small, its audit grows
LANE_S = 1800


class Driver:
    """Hands chunks of seeds of one kind of site to lanes, each a process with a site of its own."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._chosen = {"only": options.only, "pairs": options.pairs}
        self._folder = Path(tempfile.mkdtemp(prefix="faults-"))
        self._lock = threading.Lock()
        self._number = 0
        self.rows: list[dict[str, Any]] = []
        self.trouble: list[str] = []

    def carry_out(self, seeds: Sequence[int]) -> None:
        chunks = list(self._chunks(seeds))
        lanes = [
            threading.Thread(target=self._lane, args=(chunks,)) for _ in range(self._options.lanes)
        ]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        if not self.trouble and not any(row["breaches"] for row in self.rows):
            shutil.rmtree(self._folder, ignore_errors=True)

    def _chunks(self, seeds: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
        by_kind: dict[str, list[int]] = defaultdict(list)
        for seed in seeds:
            by_kind[plan(seed, **self._chosen).kind].append(seed)
        for kind, own in sorted(by_kind.items(), key=lambda item: -len(item[1])):
            parts = -(-len(own) // min(CHUNK, max(1, -(-len(seeds) // self._options.lanes))))
            yield from ((kind, own[part::parts]) for part in range(parts))

    def _lane(self, chunks: list[tuple[str, list[int]]]) -> None:
        while True:
            with self._lock:
                if not chunks:
                    return
                kind, seeds = chunks.pop(0)
                self._number += 1
                folder = self._folder / f"{self._number}-{kind}"
            done = self._run_lane(kind, folder, seeds)
            if seeds[done:] and done:  # a site that was found wrong is not used again
                with self._lock:
                    chunks.append((kind, seeds[done:]))

    def _run_lane(self, kind: str, folder: Path, seeds: Sequence[int]) -> int:
        """How many of the seeds were carried out."""
        folder.mkdir()
        command = [sys.executable, "-m", "tests.faults.lane", kind, str(folder)]
        command += [json.dumps(self._chosen), *map(str, seeds)]
        done = 0
        with (folder / "lane.err").open("w") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
            assert process.stdout is not None
            for line in process.stdout:
                done += self._take(json.loads(line), folder)
            process.wait()
        if process.returncode or not done:
            words = (folder / "lane.err").read_text()[-2000:]
            with self._lock:
                self.trouble.append(f"{folder}: the lane ended with {process.returncode}\n{words}")
        return done

    def _take(self, row: dict[str, Any], folder: Path) -> bool:
        with self._lock:
            if "stop" in row:
                self.trouble += [f"{folder}: {words}" for words in row["stop"]]
                return False
            self.rows.append(row)
            if self._options.out is not None:
                with self._options.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
        faults = ", ".join(f"{s['name']} at {s['moment']}" for s in row["strikes"])
        verdict = f"{len(row['breaches'])} breaches" if row["breaches"] else "ok"
        _say(f"seed {row['seed']:6} {row['kind']:8} {row['seconds']:5.1f} s  {verdict:10} {faults}")
        for words in row["breaches"]:
            _say(f"    {words}   [{folder}]")
        return True


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a program's output


def _summary(driver: Driver, seconds: float) -> int:
    rows = driver.rows
    faults = sum(len(row["strikes"]) for row in rows)
    broken = [row for row in rows if row["breaches"]]
    _say("")
    _say(f"runs {len(rows)}, faults injected {faults}, runs with violations {len(broken)}, "
         f"violations {sum(len(row['breaches']) for row in rows)}, {seconds:.0f} s")  # fmt: skip
    times: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for kind, value in row["recovery"].items():
            times[kind].append(value)
    for kind, values in sorted(times.items()):
        target = f", target {TARGETS[kind]:g} s" if kind in TARGETS else ""
        _say(f"recovery {kind}: median {median(values):.1f} s, longest {max(values):.1f} s, "
             f"of {len(values)}{target}")  # fmt: skip
    for words in driver.trouble:
        _say(f"trouble: {words}")
    if broken:
        _say("again: " + " ".join(f"make faults SEED={row['seed']}" for row in broken[:10]))
    return 1 if broken or driver.trouble else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=len(SCENARIOS), help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, nargs="*", help="these seeds alone")
    parser.add_argument("--only", default="", choices=["", *SCENARIOS], help="one scenario")
    parser.add_argument("--pairs", action="store_true", help="two faults in each run")
    parser.add_argument("--lanes", type=int, default=2, help="sites at one time")
    parser.add_argument("--out", type=Path, help="file to which each run is added as JSON")
    options = parser.parse_args()
    seeds = options.seed or list(range(options.first, options.first + options.runs))
    driver = Driver(options)
    begun = time.monotonic()
    driver.carry_out(seeds)
    return _summary(driver, time.monotonic() - begun)


if __name__ == "__main__":
    sys.exit(main())
