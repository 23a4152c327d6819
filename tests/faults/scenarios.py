"""What can go wrong: each fault with the moments at which it may begin and how long it lasts."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.pacs import BUSY, WARNING, WRONG_CLASS, Mood
from tests.faults.proxy import Weather
from tests.faults.site import LEASE_S
from tests.faults.strikes import (
    Begin,
    crash_database,
    cut_database,
    deafen,
    fill_disk,
    flush_queue,
    jump,
    kill_both,
    kill_child,
    kill_everything,
    kill_node,
    kill_queue,
    kill_receiver,
    kill_worker,
    lock_database,
    long_outage,
    lose_queue,
    mood,
    mute_queue,
    nothing,
    poison,
    restart_node,
    stop_node,
    weather,
    zombie,
)

# Moments of a run, in the order in which they come; see ``runs.Progress``.
SENDING = ("start", "bytes", "bytes", "acknowledged")
ANALYSING = ("job", "claimed", "claimed", "claimed", "analysed")
DELIVERING = ("analysed", "stored", "stored", "asked")
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


_early = SENDING + ANALYSING
_deliver = ("start", "job", "claimed", *DELIVERING)
SCENARIOS: dict[str, Scenario] = {
    "node killed": Scenario(kill_node, recovery="node killed → port open"),
    "node stopped in order": Scenario(restart_node),
    "node asleep": Scenario(stop_node, hold=(0.5, 3.0)),
    "receiver killed": Scenario(kill_receiver, SENDING, kinds=("postgres",)),
    "worker killed": Scenario(kill_worker, ANALYSING),
    "worker's child killed": Scenario(kill_child, ANALYSING, recovery="worker killed → claimed"),
    "worker and child killed": Scenario(
        kill_both, ANALYSING, recovery="worker killed → claimed"
    ),
    "everything killed": Scenario(kill_everything, hold=(0.1, 0.5)),
    "worker asleep beyond its lease": Scenario(
        zombie, ("claimed",), hold=(1.5 * LEASE_S, 1.5 * LEASE_S)
    ),
    "worker deaf": Scenario(deafen, ("start",)),
    "exam that kills workers": Scenario(
        poison, ("start",), ends=frozenset({"failed"})
    ),
    "queue killed": Scenario(kill_queue, _early, hold=(0.1, 2.0)),
    "queue emptied": Scenario(flush_queue, _early, recovery="queue emptied → claimed"),
    "queue mute": Scenario(mute_queue, _early, hold=(1.0, 5.0)),
    "queue started empty": Scenario(
        lose_queue, _early, hold=(0.1, 1.0), recovery="queue emptied → claimed"
    ),
    "PostgreSQL crashes": Scenario(
        crash_database, hold=(0.2, 3.0), kinds=("postgres",),
        recovery="database back → first 0x0000",
    ),
    "PostgreSQL cuts connections": Scenario(cut_database, kinds=("postgres",)),
    "SQLite locked": Scenario(lock_database, hold=(0.5, 7.0), kinds=("sqlite",)),
    "disk full": Scenario(fill_disk, hold=(1.0, 3.0)),
    "PACS down": Scenario(
        weather("back", lambda _: Weather(refuse=True)), _deliver, hold=(0.5, 3.0),
        recovery="destination back → delivered",
    ),
    "PACS down for hours": Scenario(
        long_outage, ("start",), hold=(3, 3), recovery="destination back → delivered"
    ),
    "PACS a black hole": Scenario(
        weather("back", lambda _: Weather(black_hole=True)), _deliver, hold=(2.0, 4.0),
        recovery="destination back → delivered",
    ),
    "PACS slow": Scenario(
        weather("back", lambda r: Weather(bytes_per_s=r.randrange(8000, 60000))), _deliver,
        hold=(2.0, 5.0),
    ),
    "PACS cut off": Scenario(
        weather("back", lambda r: Weather(cut_after=r.randrange(1, 60000))), _deliver, hold=(3, 3)
    ),
    "PACS unheard": Scenario(
        weather("back", lambda _: Weather(half_open=True)), _deliver, hold=(2.0, 4.0)
    ),
    "PACS aborts": Scenario(
        mood(lambda r: Mood(abort_before=True, left=r.randrange(1, 4))), _deliver, hold=(4, 4)
    ),
    "PACS stores in silence": Scenario(
        mood(lambda r: Mood(abort_after=True, left=r.randrange(1, 4))), _deliver, hold=(4, 4)
    ),
    "PACS mute": Scenario(
        mood(lambda r: Mood(mute=True, left=r.randrange(1, 3))), _deliver, hold=(2.0, 4.0)
    ),
    "PACS busy": Scenario(mood(lambda _: Mood(status=BUSY)), _deliver, hold=(1.0, 4.0)),
    "PACS refuses once": Scenario(
        mood(lambda r: Mood(status=WRONG_CLASS, left=r.randrange(1, 3))), _deliver, hold=(4, 4)
    ),
    "PACS warns": Scenario(mood(lambda _: Mood(status=WARNING)), _deliver, hold=(3, 3)),
    "commitment lost": Scenario(
        mood(lambda _: Mood(lose_reports=True, left=1)), _deliver, hold=(4, 4)
    ),
    "commitment late": Scenario(
        mood(lambda r: Mood(report_after_s=r.uniform(0.5, 4))), _deliver, hold=(5, 5)
    ),
    "commitment failed": Scenario(
        mood(lambda _: Mood(fail_reports=True, left=1)), _deliver, hold=(4, 4)
    ),
    "sender cut off": Scenario(
        weather("front", lambda r: Weather(cut_after=r.randrange(1, 1_100_000))), ("start",),
        hold=(2, 2),
    ),
    "sender slow": Scenario(
        weather("front", lambda r: Weather(bytes_per_s=r.randrange(200_000, 900_000))),
        ("start",), hold=(1, 3),
    ),
    "sender late": Scenario(
        weather("front", lambda r: Weather(latency_s=r.uniform(0.005, 0.05))), ("start",),
        hold=(2, 2),
    ),
    "sender unheard": Scenario(
        weather("front", lambda _: Weather(half_open=True)), SENDING, hold=(1.0, 2.0)
    ),
    "everything sent twice": Scenario(lambda *_: nothing, exam="twice"),
    "an image comes late": Scenario(lambda *_: nothing, exam="late"),
    "one UID with two contents": Scenario(
        lambda *_: nothing, exam="other bytes", ends=frozenset({"held"})
    ),
    "two patients in one study": Scenario(
        lambda *_: nothing, exam="two patients", ends=frozenset({"held"})
    ),
    "the clock jumps": Scenario(jump, hold=(1.0, 4.0), kinds=("clock",)),
}  # fmt: skip
