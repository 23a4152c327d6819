"""An auditor of its own: what the peers wrote down against what the database and the archive hold.

``python -m tests.faults.auditor FOLDER`` reads a site's folder: ``site.json`` (where database and
archive are), ``sender.jsonl`` and ``pacs.jsonl`` (what modality and destinations noted). It uses
nothing of the product but names of tables, files and states, and prints one line for each breach
of the invariants I1 to I8 (docs/reliability.md). Call it when faults have ended and work has too.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.chain import broken_links, ledger_now
from tests.faults.ledgers import CANARY, data_set_hash, read_ledger
from tests.faults.view import View

ENDED = {"confirmed", "held", "unsuitable", "failed", "withdrawn"}
NEEDS_REASON = {"held", "unsuitable", "failed"}
ARRIVED = {"accepted", "committed", "seen"}
UNDER_WAY = {"waiting", "sent", "unknown"}
COUNTS_NOT = {"replaced", "cancelled"}
SPOOL_KEPT_S = 150.0  # the node sweeps each minute what nobody has written to for twice idle_s
OPEN_KEPT_S = 60.0
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Breach:
    """One invariant that does not hold, and where."""

    invariant: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.what}"


@dataclass
class Books:
    """Everything that is compared, read once."""

    folder: Path
    data: Path
    view: View
    sender: list[dict[str, Any]]
    pacs: list[dict[str, Any]]
    hashes: dict[str, str | None] = field(default_factory=dict)  # archive file to data set hash

    def rows(self, query: str) -> list[dict[str, Any]]:
        return self.view.rows(query)

    def data_set(self, sha256: str) -> str | None:
        """Hash of the data set in an archive file; ``None`` when there is no such file."""
        if sha256 not in self.hashes:
            path = self.data / "objects" / sha256[:2] / sha256
            self.hashes[sha256] = data_set_hash(path.read_bytes()) if path.is_file() else None
        return self.hashes[sha256]


def open_books(
    folder: Path, hashes: dict[str, str | None] | None = None, view: View | None = None
) -> Books:
    """The books of a site; ``hashes`` and ``view`` of the last audit make the next one cheaper."""
    about = json.loads((folder / "site.json").read_text())
    return Books(
        folder,
        Path(about["data_dir"]),
        view or View(about["ledger_url"]),
        read_ledger(folder / "sender.jsonl"),
        read_ledger(folder / "pacs.jsonl"),
        {} if hashes is None else hashes,
    )


def audit(books: Books, orphans: Iterable[int] = ()) -> list[Breach]:
    """Every breach of I1 to I8."""
    with books.view.snapshot():
        found = _breaches(books)
    found += [Breach("I6", f"process {pid} has lost its parent and runs") for pid in orphans]
    return found


def _breaches(books: Books) -> list[Breach]:
    return [
        *_acknowledged_is_there(books),
        *_every_study_ends(books),
        *_one_content_each(books),
        *_delivered_is_there(books),
        *_nothing_is_stuck(books),
        *_nothing_is_left_over(books),
        *_states_are_their_history(books),
        *_canaries(books),
    ]


def _acknowledged(books: Books) -> list[dict[str, Any]]:
    """What the modality was told is safe: success and warnings (PS3.4 B.2.3)."""
    return [row for row in books.sender if row["status"] is not None and _taken(row["status"])]


def _taken(status: int) -> bool:
    return status == 0x0000 or status >> 12 == 0xB


def _acknowledged_is_there(books: Books) -> Iterator[Breach]:
    kept = defaultdict(list)
    for row in books.rows("SELECT sop_instance_uid, sha256 FROM instances"):
        kept[row["sop_instance_uid"]].append(row["sha256"])
    for row in _acknowledged(books):
        files = kept.get(row["uid"], [])
        if not files:
            yield Breach("I1", f"{row['uid']} was acknowledged and has no row")
        elif row["sha256"] not in {books.data_set(sha256) for sha256 in files}:
            yield Breach(
                "I1", f"{row['uid']} was acknowledged and its bytes are not in the archive"
            )
    for row in books.sender:
        if row["status"] is not None and not _taken(row["status"]) and row["status"] >> 8 != 0xA7:
            yield Breach("I1", f"{row['uid']} was refused for good with 0x{row['status']:04X}")


def _newest_jobs(books: Books) -> dict[Any, dict[str, Any]]:
    """The job of the last revision of each study, by the study's row."""
    newest = {}
    for job in books.rows("SELECT * FROM jobs ORDER BY revision"):
        newest[job["study_id"]] = job
    return newest


def _every_study_ends(books: Books) -> Iterator[Breach]:
    studies = {row["study_instance_uid"]: row for row in books.rows("SELECT * FROM studies")}
    newest = _newest_jobs(books)
    for uid in sorted({row["study"] for row in _acknowledged(books)}):
        study = studies.get(uid)
        if study is None:
            yield Breach("I2", f"study {uid} has no row")
            continue
        job = newest.get(study["id"])
        if study["state"] != "closed":
            yield Breach("I2", f"study {uid} is still {study['state']}")
        elif job is None:
            if not study["reason"]:
                yield Breach("I2", f"study {uid} was left without a job and without a reason")
        elif job["state"] not in ENDED:
            yield Breach("I2", f"study {uid} is {job['state']}: {job['reason']}")
        elif job["state"] in NEEDS_REASON and not job["reason"]:
            yield Breach("I2", f"study {uid} is {job['state']} and nobody knows why")


def _received_by_pacs(books: Books) -> list[dict[str, Any]]:
    return [row for row in books.pacs if "sha256" in row]


def _one_content_each(books: Books) -> Iterator[Breach]:
    contents = defaultdict(set)
    for row in _received_by_pacs(books):
        contents[row["pacs"], row["uid"]].add(row["sha256"])
    known = {}
    query = """SELECT a.sop_instance_uid, a.role, a.job_id, a.sha256, d.destination,
                      d.sha256 AS restamped
               FROM deliveries d JOIN artefacts a ON a.id = d.artefact_id"""
    for row in books.rows(query):
        known[row["destination"], row["sop_instance_uid"]] = row
    for (pacs, uid), hashes in sorted(contents.items()):
        if len(hashes) > 1:
            yield Breach("I3", f"{pacs} was sent {uid} with {len(hashes)} contents")
        row = known.get((pacs, uid))
        if row is None:
            yield Breach("I3", f"{pacs} was sent {uid}, which no delivery names")
        elif hashes != {books.data_set(row["restamped"] or row["sha256"])}:
            yield Breach("I3", f"{pacs} was sent {uid} with other bytes than the archive holds")
    yield from _one_uid_each(books)


def _one_uid_each(books: Books) -> Iterator[Breach]:
    query = """SELECT job_id, role, key, COUNT(DISTINCT sop_instance_uid) AS uids
               FROM artefacts GROUP BY job_id, role, key
               HAVING COUNT(DISTINCT sop_instance_uid) > 1 OR COUNT(*) > 1"""
    for row in books.rows(query):
        yield Breach("I3", f"job {row['job_id']} has several objects {row['role']} {row['key']}")


def _delivered_is_there(books: Books) -> Iterator[Breach]:
    kept = {(row["pacs"], row["uid"]): row["kept"] for row in books.pacs if "kept" in row}
    query = """SELECT d.job_id, d.destination, d.state, a.sop_instance_uid AS uid, a.role
               FROM deliveries d JOIN artefacts a ON a.id = d.artefact_id"""
    sets: dict[str, list[Row]] = defaultdict(list)
    for row in books.rows(query):
        sets[row["job_id"]].append(row)
        if row["state"] in ARRIVED and not kept.get((row["destination"], row["uid"])):
            yield Breach("I4", f"{row['destination']} does not have {row['uid']} ({row['state']})")
    for job in books.rows("SELECT id, state, reason_code FROM jobs"):
        own = [row for row in sets[job["id"]] if row["state"] not in COUNTS_NOT]
        there = bool(own) and all(kept.get((row["destination"], row["uid"])) for row in own)
        delivered = job["state"] in {"delivered", "confirmed"}
        if delivered and not there:
            yield Breach("I4", f"job {job['id']} is {job['state']}, destinations lack some of it")
        if there and job["state"] == "analysed":
            yield Breach("I4", f"job {job['id']} has arrived everywhere and is not delivered")


def _nothing_is_stuck(books: Books) -> Iterator[Breach]:
    for job in books.rows("SELECT id, state, attempts FROM jobs"):
        if job["state"] not in ENDED:
            yield Breach("I5", f"job {job['id']} is {job['state']} after {job['attempts']} claims")
    for row in books.rows("SELECT id, destination, state, reason FROM deliveries"):
        if row["state"] in UNDER_WAY:
            where = f"delivery {row['id']} to {row['destination']}"
            yield Breach("I5", f"{where} is {row['state']}: {row['reason']}")


def _nothing_is_left_over(books: Books) -> Iterator[Breach]:
    now = time.time()
    for file in books.data.rglob("*"):
        in_spool = file.parent.name == "spool" or file.suffix == ".part"
        if in_spool and file.is_file() and now - file.stat().st_mtime > SPOOL_KEPT_S:
            yield Breach("I6", f"{file.name} was left in {file.parent.name}")
    for job in books.rows("SELECT id, state FROM jobs WHERE lease_until IS NOT NULL"):
        if job["state"] != "analysing":
            yield Breach("I6", f"job {job['id']} is {job['state']} and leased")
    by_ledger = ledger_now(books.view)
    for row in books.rows("SELECT id, opened_at FROM associations WHERE closed_at IS NULL"):
        if by_ledger - row["opened_at"] > OPEN_KEPT_S:
            yield Breach("I6", f"association {row['id']} was never closed in the ledger")


def _states_are_their_history(books: Books) -> Iterator[Breach]:
    yield from (Breach("I7", words) for words in broken_links(books.view))
    events = books.rows("SELECT * FROM events ORDER BY id")
    # What a state is before any event of its own: jobs begin with one, the others do not.
    subjects = {
        "study": ("SELECT study_instance_uid AS name, state FROM studies", "open"),
        "job": ("SELECT id AS name, state FROM jobs", ""),
        "delivery": ("SELECT id AS name, state FROM deliveries", "waiting"),
    }
    for subject, (query, first) in subjects.items():
        states: dict[str, str] = {}
        for event in (event for event in events if event["subject"] == subject):
            name = event["subject_id"].split(" ")[0]
            if event["from_state"] != states.get(name, first):
                yield Breach("I7", f"event {event['id']} does not begin where {name} was")
            states[name] = event["to_state"]
        for row in books.rows(query):
            if row["state"] != states.get(str(row["name"]), first):
                yield Breach("I7", f"{subject} {row['name']} is {row['state']}, not by its events")


def _canaries(books: Books) -> Iterator[Breach]:
    """Patients' names are in the database and in the archive's files, nowhere else."""
    places = [*books.folder.glob("*.log"), *(books.folder / "queue").rglob("*")]
    places += (books.data / "run").rglob("*")
    for file in places:
        if file.is_file() and CANARY.encode() in file.read_bytes():
            yield Breach("I8", f"{file.relative_to(books.folder)} names a patient")


def main(arguments: Sequence[str]) -> int:
    found = [breach for folder in arguments for breach in audit(open_books(Path(folder)))]
    for breach in found:
        print(breach)  # noqa: T201 - a program's output
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
