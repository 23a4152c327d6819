"""Worker processes that race for the same jobs, and what each of them got."""

from __future__ import annotations

import multiprocessing
import random
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select

from dicom_node.domain.identifiers import derive_id
from dicom_node.errors import LedgerError
from dicom_node.store import tables as t
from dicom_node.store.database import now
from dicom_node.store.ledger import Ledger
from tests.headers import uid

LEASE_S = 3600.0  # longer than the race: whatever is claimed twice was claimed twice at once


@dataclass(frozen=True)
class Race:
    """Ids in the order in which each claimer got them, and how often it came too late."""

    claims: tuple[tuple[str, ...], ...]
    too_late: int
    seconds: float

    def figures(self, database: str) -> str:
        """As a line for people."""
        won = [job for claimed in self.claims for job in claimed]
        return (
            f"{database}: {len(self.claims)} claimers, {len(won)} claims of {len(set(won))} jobs "
            f"in {self.seconds:.1f} s, {len(won) / self.seconds:.0f}/s, {self.too_late} too late"
        )


def fill(ledger: Ledger, number: int) -> None:
    """Queue this many jobs, each of a study of its own."""
    with ledger.database.write() as connection:
        at = now(connection)
        times = {"opened_at": at, "last_received_at": at}
        who = {"patient_id": "P-1", "accession_number": "A-1", "calling_ae": "MODALITY"}
        studies = [
            {"id": n, "study_instance_uid": uid("race", n), "state": "open", **who, **times}
            for n in range(1, number + 1)
        ]
        jobs = [
            {
                "id": derive_id("race", str(n)), "study_id": n, "revision": 1, "seconds": {},
                "input_hash": f"{n:064x}", "state": "queued", "created_at": at, "updated_at": at,
            }
            for n in range(1, number + 1)
        ]  # fmt: skip
        events = [
            {
                "at": at, "study_id": job["study_id"], "subject": "job", "subject_id": job["id"],
                "event": "created", "to_state": "queued", "actor": "assemble",
            }
            for job in jobs
        ]  # fmt: skip
        connection.execute(insert(t.studies), studies)
        connection.execute(insert(t.jobs), jobs)
        connection.execute(insert(t.events), events)


def race(url: str, claimers: int) -> Race:
    """Let that many processes claim until nothing is left."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", __name__])  # imported once, not by each of them
    start = context.Barrier(claimers + 1)
    results = context.Queue()
    arguments = (url, start, results)
    processes = [
        context.Process(target=_claim_all, args=(*arguments, f"claimer {n}"), daemon=True)
        for n in range(claimers)
    ]
    for process in processes:
        process.start()
    start.wait(60)
    began = time.monotonic()
    got = [results.get() for _ in processes]
    seconds = time.monotonic() - began
    for process in processes:
        process.join()
        process.close()
    return Race(tuple(claimed for claimed, _ in got), sum(late for _, late in got), seconds)


def _claim_all(url: str, start: Any, results: Any, owner: str) -> None:
    """Everybody asks for the same oldest jobs, and tries them in an order of their own."""
    ledger = Ledger(url)
    claimed, late = [], 0
    order = random.Random(owner)  # noqa: S311 - no secret
    start.wait(60)
    while hints := ledger.jobs.claimable():
        order.shuffle(hints)
        for hint in hints:
            if _claims(ledger, hint.job_id, owner):
                claimed.append(hint.job_id)
            else:
                late += 1
    results.put((tuple(claimed), late))
    ledger.close()


def _claims(ledger: Ledger, job_id: str, owner: str) -> bool:
    try:
        return ledger.jobs.claim(job_id, owner, LEASE_S) is not None
    except LedgerError:  # SQLite lets nobody wait for more than 5 s: the job is rung for again
        return False


def assert_each_was_claimed_once(ledger: Ledger, run: Race, number: int) -> None:
    """By what the claimers say, by the jobs' rows, and by the events."""
    won = [job for claimed in run.claims for job in claimed]
    assert len(won) == len(set(won)) == number
    with ledger.database.read() as connection:
        j, e = t.jobs, t.events
        counts = select(j.c.state, j.c.attempts, j.c.token, func.count())
        by_row = connection.execute(counts.group_by(j.c.state, j.c.attempts, j.c.token)).all()
        assert [tuple(row) for row in by_row] == [("analysing", 1, 1, number)]
        events = connection.execute(select(func.count()).where(e.c.event == "claimed"))
        assert events.scalar_one() == number
