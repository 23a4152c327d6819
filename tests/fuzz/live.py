"""Mutated associations at a real port: ``python -m tests.fuzz.live --sessions 20000 --seed 1``."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import structlog

from tests.fuzz.sessions import mutated, play
from tests.integration.door import Door
from tests.peers import wait_until
from tests.raw_sender import ASSOCIATE_AC, Caller

ECHO_EVERY = 100
AT_ONCE = 4
# What pynetdicom says of a PDU that it cannot use before the association is aborted; whatever our
# upper layer does not expect of it comes again as an error of ours.
_EXPECTED = {"pynetdicom.dul", "pynetdicom.utils", "pynetdicom.fsm"}


class Complaints(logging.Handler):
    """Exceptions that pynetdicom caught and wrote into its log."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, if an exception of ours may be behind it."""
        if record.exc_info and record.name not in _EXPECTED:
            kind, error, _ = record.exc_info
            self.told.append(f"{record.name}: {kind.__name__ if kind else ''}: {error}")


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Everything that node, library and threads complain of meanwhile."""
    handler, library, hook = Complaints(), logging.getLogger("pynetdicom"), threading.excepthook
    library.addHandler(handler)

    def unhandled(args: threading.ExceptHookArgs) -> None:
        handler.told.append(f"thread: {args.exc_type.__name__}: {args.exc_value}")

    def ours(_logger: object, method: str, event: dict[str, Any]) -> dict[str, Any]:
        if method in {"error", "critical", "exception"}:
            handler.told.append(f"{event}")
        raise structlog.DropEvent

    structlog.configure(processors=[ours])
    threading.excepthook = unhandled
    try:
        with warnings.catch_warnings():
            # pydicom warns of what it cannot know; pytest would make errors of that.
            warnings.simplefilter("ignore", UserWarning)
            yield handler.told
    finally:
        threading.excepthook = hook
        structlog.reset_defaults()
        library.removeHandler(handler)


def echo(port: int) -> int:
    """The status of one C-ECHO, an association of its own."""
    with Caller(port) as caller:
        assert caller.associate() == ASSOCIATE_AC
        status = caller.echo()
        caller.release()
        return status


def descriptors() -> int:
    """Sockets and wake-up descriptors of this process."""
    kinds = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            kinds.append(str(link.readlink()))
        except OSError:
            continue
    return sum(kind.startswith(("socket:", "anon_inode:")) for kind in kinds)


def batter(folder: Path, seeds: range) -> list[str]:
    """One session for each seed; what was complained of, with the seeds of those sessions."""
    with complaints() as told:
        door = Door(folder, accepts_per_s=1e6)
        try:
            _batter(door, seeds, told)
        finally:
            door.close()
    return told


def _batter(door: Door, seeds: range, told: list[str]) -> None:
    port, known = door.settings.port, 0
    assert echo(port) == 0
    wait_until(lambda: not _associations(), "the first association's end")
    before = descriptors()
    with ThreadPoolExecutor(AT_ONCE) as players:
        for first in range(seeds.start, seeds.stop, ECHO_EVERY):
            some = range(first, min(first + ECHO_EVERY, seeds.stop))
            list(players.map(lambda seed: _one(port, seed), some))
            assert echo(port) == 0
            told[known:] = [f"seeds {some}: {one}" for one in told[known:]]
            known = len(told)
    wait_until(lambda: not _associations(), "the associations' threads to end")
    wait_until(lambda: descriptors() <= before, "their descriptors to be closed")
    assert list(door.hospital.archive.spool.iterdir()) == []


def _one(port: int, seed: int) -> None:
    dice = Random(seed)
    play(port, mutated(dice), dice)


def _associations() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("AcceptorThread")]


def main() -> int:
    """The command: 1 if anything was complained of."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.live")
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first session")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told = batter(Path(folder), range(options.seed, options.seed + options.sessions))
    for one in told:
        sys.stdout.write(f"{one}\n")
    sys.stdout.write(f"{options.sessions} sessions, {len(told)} complaints\n")
    return int(bool(told))


if __name__ == "__main__":
    sys.exit(main())
