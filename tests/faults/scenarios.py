"""What can go wrong: how each fault begins and how it ends."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from tests.faults.pacs import BUSY, WARNING, WRONG_CLASS, Mood
from tests.faults.proxy import Weather
from tests.faults.site import LEASE_S, Part, Site

End = Callable[[], None]
Begin = Callable[[Site, Random], End]
# Moments of a run, in the order in which they come; see ``runs.Progress``.
SENDING = ("start", "bytes", "bytes", "acknowledged")
ANALYSING = ("job", "claimed", "claimed", "claimed", "analysed")
DELIVERING = ("analysed", "stored", "stored", "asked")
OUTAGE_S, OUTAGE_STEPS = 4 * 3600.0, 16
ANY = SENDING + ANALYSING + DELIVERING
BOTH = ("sqlite", "postgres")
CONFIRMED = frozenset({"confirmed"})


@dataclass(frozen=True)
class Scenario:
    """A fault that begins at one of ``moments`` and is over between ``hold`` seconds later."""

    begin: Begin
    moments: tuple[str, ...] = ANY
    hold: tuple[float, float] = (0.0, 0.0)
    kinds: tuple[str, ...] = BOTH
    exam: str = "plain"
    ends: frozenset[str] = CONFIRMED
    recovery: str = ""  # which figure of reliability its recovery gives


def _nothing() -> None:
    return


def _kill_node(site: Site, rng: Random) -> End:
    site.node.kill()
    return _nothing


def _stop_node(site: Site, rng: Random) -> End:
    site.node.kill(signal.SIGSTOP)
    return lambda: site.node.kill(signal.SIGCONT)


def _restart_node(site: Site, rng: Random) -> End:
    site.node.kill(signal.SIGTERM)
    return _nothing


def _kill_worker(site: Site, rng: Random) -> End:
    site.worker.kill()
    return _nothing


def _kill_child(site: Site, rng: Random) -> End:
    _signal(site.worker_children(), signal.SIGKILL)
    return _nothing


def _kill_both(site: Site, rng: Random) -> End:
    children = site.worker_children()
    site.worker.kill()
    _signal(children, signal.SIGKILL)
    return _nothing


def _kill_everything(site: Site, rng: Random) -> End:
    children = site.worker_children()
    site.node.kill()
    site.worker.kill()
    _signal(children, signal.SIGKILL)
    site.queue.kill()
    return site.queue.start


def _zombie(site: Site, rng: Random) -> End:
    """The worker sleeps through its lease while another takes over, then comes back."""
    children = site.worker_children()
    _signal(children, signal.SIGSTOP)
    other = Part(site, "worker")
    other.start()
    other.wanted = False
    site.others.append(other)

    def end() -> None:
        _signal(children, signal.SIGCONT)

    return end


def _deafen(site: Site, rng: Random) -> End:
    """The worker's parent takes no message any more; its child is well."""
    site.worker.kill(signal.SIGSTOP)
    return _nothing


def _poison(site: Site, rng: Random) -> End:
    """This exam kills every process that analyses it."""
    wish = site.folder / "wishes" / "poison"
    wish.touch()
    return wish.unlink


def _kill_queue(site: Site, rng: Random) -> End:
    site.queue.kill()
    return site.queue.start


def _lose_queue(site: Site, rng: Random) -> End:
    site.queue.kill()
    site.queue.lose_data()
    return site.queue.start


def _flush_queue(site: Site, rng: Random) -> End:
    site.queue.empty()
    return _nothing


def _mute_queue(site: Site, rng: Random) -> End:
    site.queue.mute()
    return site.queue.speak


def _crash_database(site: Site, rng: Random) -> End:
    assert site.server is not None
    site.server.stop_at_once()
    return site.server.start


def _cut_database(site: Site, rng: Random) -> End:
    assert site.server is not None
    site.server.cut_connections()
    return _nothing


def _lock_database(site: Site, rng: Random) -> End:
    connection = sqlite3.connect(site.data / "ledger.db", 10, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")

    def end() -> None:
        connection.rollback()
        connection.close()

    return end


def _fill_disk(site: Site, rng: Random) -> End:
    """All but a little of the disk is full, so that it ends at some point within what follows."""
    filler = site.folder / "data" / "filler"
    free = shutil.disk_usage(filler.parent).free
    left = rng.randrange(0, 1_500_000)
    with filler.open("wb") as file, suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, max(1, free - left))
    return filler.unlink


def _weather(place: str, make: Callable[[Random], Weather]) -> Begin:
    def begin(site: Site, rng: Random) -> End:
        proxy = site.front if place == "front" else site.back
        proxy.change(make(rng))
        return proxy.calm

    return begin


def _long_outage(site: Site, rng: Random) -> End:
    """Hours pass, in which every attempt fails."""
    site.back.change(Weather(refuse=True))

    def end() -> None:
        for _ in range(OUTAGE_STEPS):
            site.let_pass(OUTAGE_S / OUTAGE_STEPS)
            time.sleep(0.6)
        site.back.calm()

    return end


def _mood(make: Callable[[Random], Mood]) -> Begin:
    def begin(site: Site, rng: Random) -> End:
        site.pacs.feel(make(rng))
        return lambda: site.pacs.feel(Mood())

    return begin


def _jump(site: Site, rng: Random) -> End:
    site.set_clock(rng.choice((3600, -3600, 86400, -86400, 90, -90)))
    stays = rng.random() < 0.5
    return _nothing if stays else lambda: site.set_clock(0)


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


_early = SENDING + ANALYSING
_deliver = ("start", "job", "claimed", *DELIVERING)
SCENARIOS: dict[str, Scenario] = {
    "node killed": Scenario(_kill_node, recovery="node killed → port open"),
    "node stopped in order": Scenario(_restart_node),
    "node asleep": Scenario(_stop_node, hold=(0.5, 3.0)),
    "worker killed": Scenario(_kill_worker, ANALYSING),
    "worker's child killed": Scenario(_kill_child, ANALYSING, recovery="worker killed → claimed"),
    "worker and child killed": Scenario(
        _kill_both, ANALYSING, recovery="worker killed → claimed"
    ),
    "everything killed": Scenario(_kill_everything, hold=(0.1, 0.5)),
    "worker asleep beyond its lease": Scenario(
        _zombie, ("claimed",), hold=(1.5 * LEASE_S, 1.5 * LEASE_S)
    ),
    "worker deaf": Scenario(_deafen, ("start",)),
    "exam that kills workers": Scenario(
        _poison, ("start",), hold=(12, 12), ends=frozenset({"failed"})
    ),
    "queue killed": Scenario(_kill_queue, _early, hold=(0.1, 2.0)),
    "queue emptied": Scenario(_flush_queue, _early, recovery="queue emptied → claimed"),
    "queue mute": Scenario(_mute_queue, _early, hold=(1.0, 5.0)),
    "queue started empty": Scenario(
        _lose_queue, _early, hold=(0.1, 1.0), recovery="queue emptied → claimed"
    ),
    "PostgreSQL crashes": Scenario(
        _crash_database, hold=(0.2, 3.0), kinds=("postgres",),
        recovery="database back → first 0x0000",
    ),
    "PostgreSQL cuts connections": Scenario(_cut_database, kinds=("postgres",)),
    "SQLite locked": Scenario(_lock_database, hold=(0.5, 7.0), kinds=("sqlite",)),
    "disk full": Scenario(_fill_disk, hold=(1.0, 3.0)),
    "PACS down": Scenario(
        _weather("back", lambda _: Weather(refuse=True)), _deliver, hold=(0.5, 3.0),
        recovery="destination back → delivered",
    ),
    "PACS down for hours": Scenario(
        _long_outage, ("start",), hold=(3, 3), recovery="destination back → delivered"
    ),
    "PACS a black hole": Scenario(
        _weather("back", lambda _: Weather(black_hole=True)), _deliver, hold=(2.0, 4.0),
        recovery="destination back → delivered",
    ),
    "PACS slow": Scenario(
        _weather("back", lambda r: Weather(bytes_per_s=r.randrange(8000, 60000))), _deliver,
        hold=(2.0, 5.0),
    ),
    "PACS cut off": Scenario(
        _weather("back", lambda r: Weather(cut_after=r.randrange(1, 60000))), _deliver, hold=(3, 3)
    ),
    "PACS unheard": Scenario(
        _weather("back", lambda _: Weather(half_open=True)), _deliver, hold=(2.0, 4.0)
    ),
    "PACS aborts": Scenario(
        _mood(lambda r: Mood(abort_before=True, left=r.randrange(1, 4))), _deliver, hold=(4, 4)
    ),
    "PACS stores in silence": Scenario(
        _mood(lambda r: Mood(abort_after=True, left=r.randrange(1, 4))), _deliver, hold=(4, 4)
    ),
    "PACS mute": Scenario(
        _mood(lambda r: Mood(mute=True, left=r.randrange(1, 3))), _deliver, hold=(2.0, 4.0)
    ),
    "PACS busy": Scenario(_mood(lambda _: Mood(status=BUSY)), _deliver, hold=(1.0, 4.0)),
    "PACS refuses once": Scenario(
        _mood(lambda r: Mood(status=WRONG_CLASS, left=r.randrange(1, 3))), _deliver, hold=(4, 4)
    ),
    "PACS warns": Scenario(_mood(lambda _: Mood(status=WARNING)), _deliver, hold=(3, 3)),
    "commitment lost": Scenario(
        _mood(lambda _: Mood(lose_reports=True, left=1)), _deliver, hold=(4, 4)
    ),
    "commitment late": Scenario(
        _mood(lambda r: Mood(report_after_s=r.uniform(0.5, 4))), _deliver, hold=(5, 5)
    ),
    "commitment failed": Scenario(
        _mood(lambda _: Mood(fail_reports=True, left=1)), _deliver, hold=(4, 4)
    ),
    "sender cut off": Scenario(
        _weather("front", lambda r: Weather(cut_after=r.randrange(1, 1_100_000))), ("start",),
        hold=(2, 2),
    ),
    "sender slow": Scenario(
        _weather("front", lambda r: Weather(bytes_per_s=r.randrange(200_000, 900_000))),
        ("start",), hold=(1, 3),
    ),
    "sender late": Scenario(
        _weather("front", lambda r: Weather(latency_s=r.uniform(0.005, 0.05))), ("start",),
        hold=(2, 2),
    ),
    "sender unheard": Scenario(
        _weather("front", lambda _: Weather(half_open=True)), SENDING, hold=(1.0, 2.0)
    ),
    "everything sent twice": Scenario(lambda *_: _nothing, exam="twice"),
    "an image comes late": Scenario(lambda *_: _nothing, exam="late"),
    "one UID with two contents": Scenario(
        lambda *_: _nothing, exam="other bytes", ends=frozenset({"held"})
    ),
    "two patients in one study": Scenario(
        lambda *_: _nothing, exam="two patients", ends=frozenset({"held"})
    ),
    "the clock jumps": Scenario(_jump, hold=(1.0, 4.0), kinds=("clock",)),
}  # fmt: skip
