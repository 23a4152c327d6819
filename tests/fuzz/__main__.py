"""``make fuzz``: every target guided by coverage for some seconds; what broke stays in a folder."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.targets import TARGETS

_STATISTIC = re.compile(r"^stat::(\w+):\s+(\d+)", re.MULTILINE)
_COVERAGE = re.compile(r"cov: (\d+)")


@dataclass(frozen=True)
class Result:
    """What came of one target."""

    target: str
    runs: int
    peak_mb: int
    slowest_s: int
    coverage: int
    finding: str  # the end of what was said, empty where nothing was found

    def __str__(self) -> str:
        end = f"BROKEN\n{self.finding}" if self.finding else "ok"
        figures = f"{self.runs:9d} runs {self.coverage:6d} edges {self.peak_mb:4d} MiB"
        return f"{self.target:12} {figures} slowest {self.slowest_s} s  {end}"


def guided(target: str, folder: Path, seconds: int, seed: int = 1) -> Result:
    """Fuzz one target in a process of its own."""
    command = [sys.executable, "-m", "tests.fuzz.guided", target, str(folder), str(seconds)]
    # The most memory that a process had is told to what it starts (getrusage(2) after execve(2)):
    # the fuzzer would hold that of a test suite against its target. A shell's is small.
    through = ["sh", "-c", '"$@"; exit $?', "sh"]
    done = subprocess.run(
        [*through, *command, str(seed)], capture_output=True, text=True, check=False
    )
    numbers = {name: int(value) for name, value in _STATISTIC.findall(done.stderr)}
    covered = _COVERAGE.findall(done.stderr)
    broken = done.returncode or not numbers
    return Result(
        target,
        runs=numbers.get("number_of_executed_units", 0),
        peak_mb=numbers.get("peak_rss_mb", 0),
        slowest_s=numbers.get("slowest_unit_time_sec", 0),
        coverage=int(covered[-1]) if covered else 0,
        finding=(done.stdout + done.stderr)[-4000:] if broken else "",
    )


def main() -> int:
    """The command: 1 if anything broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=TARGETS, action="append", help="a target; repeatable")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    broken = False
    for target in options.only or TARGETS:
        result = guided(target, folder / target, options.seconds, options.seed)
        broken = broken or bool(result.finding)
        sys.stdout.write(f"{result}\n")
        sys.stdout.flush()
    sys.stdout.write(f"inputs and findings: {folder}\n")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
