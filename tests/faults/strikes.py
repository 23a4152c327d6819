"""How each fault begins, and how it ends."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

from tests.faults.pacs import Mood
from tests.faults.proxy import Weather
from tests.faults.site import Part, Site

End = Callable[[], None]
Begin = Callable[[Site, Random], End]
_EXAMS = """
SELECT (SELECT COUNT(*) FROM jobs WHERE state = 'failed') AS failed,
       (SELECT COUNT(*) FROM jobs WHERE state IN ('queued', 'analysing'))
       + (SELECT COUNT(*) FROM studies WHERE state = 'open') AS under_way
"""
OUTAGE_S, OUTAGE_STEPS = 4 * 3600.0, 16


def nothing() -> None:
    return


def kill_node(site: Site, rng: Random) -> End:
    site.node.kill()
    return nothing


def stop_node(site: Site, rng: Random) -> End:
    site.node.kill(signal.SIGSTOP)
    return lambda: site.node.kill(signal.SIGCONT)


def restart_node(site: Site, rng: Random) -> End:
    site.node.kill(signal.SIGTERM)
    return nothing


def kill_receiver(site: Site, rng: Random) -> End:
    _signal_all(site.receivers(), signal.SIGKILL)
    return nothing


def kill_worker(site: Site, rng: Random) -> End:
    site.worker.kill()
    return nothing


def kill_child(site: Site, rng: Random) -> End:
    _signal_all(site.worker_children(), signal.SIGKILL)
    return nothing


def kill_both(site: Site, rng: Random) -> End:
    children = site.worker_children()
    site.worker.kill()
    _signal_all(children, signal.SIGKILL)
    return nothing


def kill_everything(site: Site, rng: Random) -> End:
    children = site.worker_children()
    site.node.kill()
    site.worker.kill()
    _signal_all(children, signal.SIGKILL)
    site.queue.kill()
    return site.queue.start


def zombie(site: Site, rng: Random) -> End:
    """The worker sleeps through its lease while another takes over, then comes back."""
    children = site.worker_children()
    _signal_all(children, signal.SIGSTOP)
    other = Part(site, "worker")
    other.start()
    other.wanted = False
    site.others.append(other)

    def end() -> None:
        _signal_all(children, signal.SIGCONT)

    return end


def deafen(site: Site, rng: Random) -> End:
    """The worker's parent takes no message any more; its child is well."""
    # The run before may have killed the child just now, and only this parent starts another.
    site.wait(site.worker_children, "the worker's child")
    site.worker.kill(signal.SIGSTOP)
    return nothing


def poison(site: Site, rng: Random) -> End:
    """This exam kills every process that analyses it, until there are no attempts left."""
    wish = site.folder / "wishes" / "poison"
    wish.touch()
    before = site.view.rows(_EXAMS)[0]["failed"]

    def given_up() -> bool:
        # A late image makes another job of the exam, which must not find the poison gone.
        now = site.view.rows(_EXAMS)[0]
        return bool(now["failed"] > before and not now["under_way"])

    def end() -> None:
        site.wait(given_up, "the exam to be given up", 90)
        wish.unlink()

    return end


def kill_queue(site: Site, rng: Random) -> End:
    site.queue.kill()
    return site.queue.start


def lose_queue(site: Site, rng: Random) -> End:
    site.queue.kill()
    site.queue.lose_data()
    return site.queue.start


def flush_queue(site: Site, rng: Random) -> End:
    site.queue.empty()
    return nothing


def mute_queue(site: Site, rng: Random) -> End:
    site.queue.mute()
    return site.queue.speak


def crash_database(site: Site, rng: Random) -> End:
    assert site.server is not None
    site.server.stop_at_once()
    return site.server.start


def cut_database(site: Site, rng: Random) -> End:
    assert site.server is not None
    site.server.cut_connections()
    return nothing


def lock_database(site: Site, rng: Random) -> End:
    connection = sqlite3.connect(site.data / "ledger.db", 10, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")

    def end() -> None:
        connection.rollback()
        connection.close()

    return end


def fill_disk(site: Site, rng: Random) -> End:
    """All but a little of the disk is full, so that it ends at some point within what follows."""
    filler = site.folder / "data" / "filler"
    free = shutil.disk_usage(filler.parent).free
    left = rng.randrange(0, 1_500_000)
    with filler.open("wb") as file, suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, max(1, free - left))
    return filler.unlink


def weather(place: str, make: Callable[[Random], Weather]) -> Begin:
    def begin(site: Site, rng: Random) -> End:
        proxy = site.front if place == "front" else site.back
        proxy.change(make(rng))
        return proxy.calm

    return begin


def long_outage(site: Site, rng: Random) -> End:
    """Hours pass, in which every attempt fails."""
    site.back.change(Weather(refuse=True))

    def end() -> None:
        for _ in range(OUTAGE_STEPS):
            site.let_pass(OUTAGE_S / OUTAGE_STEPS)
            time.sleep(0.6)
        site.back.calm()

    return end


def mood(make: Callable[[Random], Mood]) -> Begin:
    def begin(site: Site, rng: Random) -> End:
        site.pacs.feel(make(rng))
        return lambda: site.pacs.feel(Mood())

    return begin


def jump(site: Site, rng: Random) -> End:
    site.set_clock(rng.choice((3600, -3600, 86400, -86400, 90, -90)))
    stays = rng.random() < 0.5
    return nothing if stays else lambda: site.set_clock(0)


def _signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
