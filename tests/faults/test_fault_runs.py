"""A few seeded fault runs, and an auditor that finds every kind of breach that is planted.

``make faults`` has the many runs; these show that harness and auditor work, in a minute.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.faults.auditor import Books, audit
from tests.faults.ledgers import CANARY
from tests.faults.runs import UNNOTED, Run, make_calm, plan
from tests.faults.scenarios import SCENARIOS
from tests.faults.site import Site

FEW = (
    "node killed", "everything killed", "worker's child killed", "queue started empty",
    "SQLite locked", "PACS stores in silence", "commitment failed", "sender cut off",
)  # fmt: skip


@pytest.mark.parametrize("name", FEW)
def test_nothing_is_lost_and_nothing_comes_twice(site: Site, name: str) -> None:
    chosen = plan(1 + FEW.index(name), only=name)
    try:
        result = Run(site, chosen).carry_out({})
    finally:
        make_calm(site)
    assert result.breaches == [], chosen


def test_a_seed_is_always_the_same_plan() -> None:
    assert plan(7) == plan(7)
    assert {plan(seed).strikes[0].name for seed in range(len(SCENARIOS))} == set(SCENARIOS)


Spoil = Callable[[Books], Any]


def _rewrite(books: Books, name: str, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    path = books.folder / name
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    change(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _first(rows: list[dict[str, Any]], **values: Any) -> dict[str, Any]:
    return next(r for r in rows if all(r.get(name) == value for name, value in values.items()))


def _object_of(books: Books, query: str) -> Path:
    sha256 = books.rows(query)[0]["sha256"]
    return books.data / "objects" / sha256[:2] / sha256


def _lose_row(books: Books) -> None:
    books.view.change("DELETE FROM instances WHERE id = (SELECT MIN(id) FROM instances)")


def _lose_file(books: Books) -> None:
    _object_of(books, "SELECT sha256 FROM instances ORDER BY id").unlink()


def _change_bytes(books: Books) -> None:
    path = _object_of(books, "SELECT sha256 FROM instances ORDER BY id")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _refuse_for_good(books: Books) -> None:
    _rewrite(books, "sender.jsonl", lambda rows: rows[0].update(status=0xC001))


def _drop_study(books: Books) -> None:
    """Closed, no job, no reason: a silent drop."""
    for table in ("job_inputs", "jobs"):
        books.view.change(f"DELETE FROM {table}")
    books.view.change("UPDATE studies SET reason = ''")


def _hold_without_reason(books: Books) -> None:
    books.view.change("UPDATE jobs SET state = 'held', reason = ''")


def _send_other_bytes(books: Books) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows.append({**_first(rows, kept=True), "sha256": "0" * 64})

    _rewrite(books, "pacs.jsonl", change)


def _send_a_stranger(books: Books) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows.append({**_first(rows, kept=True), "uid": "2.25.1"})

    _rewrite(books, "pacs.jsonl", change)


def _pacs_lacks_one(books: Books) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        uid = _first(rows, kept=True)["uid"]
        for row in rows:
            if row.get("uid") == uid:
                row["kept"] = False

    _rewrite(books, "pacs.jsonl", change)


def _forget_delivery(books: Books) -> None:
    """Everything has arrived, and the job does not know."""
    books.view.change("UPDATE jobs SET state = 'analysed' WHERE state = 'confirmed'")


def _stuck_job(books: Books) -> None:
    books.view.change("UPDATE jobs SET state = 'queued'")


def _stuck_delivery(books: Books) -> None:
    books.view.change("UPDATE deliveries SET state = 'unknown'")


def _spool_file(books: Books) -> None:
    part = books.data / "spool" / "left.part"
    part.touch()
    os.utime(part, (time.time() - 3600,) * 2)


def _lease(books: Books) -> None:
    books.view.change("UPDATE jobs SET lease_until = 1")


def _open_association(books: Books) -> None:
    books.view.change("UPDATE associations SET closed_at = NULL, opened_at = 1")


def _without_guards(books: Books, statement: str) -> None:
    """By somebody who can do everything: the triggers that forbid it are gone too."""
    for trigger in books.rows("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
        books.view.change(f"DROP TRIGGER {trigger['name']}")
    assert books.view.change(statement)


def _lost_event(books: Books) -> None:
    _without_guards(books, "DELETE FROM events WHERE event = 'claimed'")


def _changed_event(books: Books) -> None:
    _without_guards(books, "UPDATE events SET reason = 'nothing happened' WHERE id = 2")


def _lost_seal(books: Books) -> None:
    _without_guards(books, "DELETE FROM seals WHERE position = 2")


def _seals_stopped(books: Books) -> None:
    _without_guards(books, "DELETE FROM seals WHERE position > 2")
    books.view.change("UPDATE events SET at = at - 1000 WHERE id > 2")


def _state_without_event(books: Books) -> None:
    books.view.change("UPDATE deliveries SET state = 'seen'")


def _named_patient(books: Books) -> None:
    (books.folder / "node.log").write_text(f"received image of {CANARY}^Anna\n")


PLANTED: Mapping[str, tuple[Spoil, ...]] = {
    "I1": (_lose_row, _lose_file, _change_bytes, _refuse_for_good),
    "I2": (_drop_study, _hold_without_reason),
    "I3": (_send_other_bytes, _send_a_stranger),
    "I4": (_pacs_lacks_one, _forget_delivery),
    "I5": (_stuck_job, _stuck_delivery),
    "I6": (_spool_file, _lease, _open_association),
    "I7": (_lost_event, _state_without_event, _changed_event, _lost_seal, _seals_stopped),
    "I8": (_named_patient,),
}


@pytest.mark.usefixtures("calm")
def test_an_audit_after_a_calm_run_finds_nothing(copied_books: Callable[[], Books]) -> None:
    assert audit(copied_books()) == []


@pytest.mark.parametrize(
    ("invariant", "spoil"), [(name, one) for name, all_ in PLANTED.items() for one in all_]
)
@pytest.mark.usefixtures("calm")
def test_what_is_planted_is_found(
    copied_books: Callable[[], Books], invariant: str, spoil: Spoil
) -> None:
    spoil(copied_books())
    assert invariant in {breach.invariant for breach in audit(copied_books())}


@pytest.mark.usefixtures("calm")
def test_a_process_that_lost_its_parent_is_found(copied_books: Callable[[], Books]) -> None:
    assert [b.invariant for b in audit(copied_books(), orphans=[4711])] == ["I6"]


@pytest.fixture(scope="module")
def calm(site: Site) -> None:
    """One exam without any fault: the books of the site are not empty."""
    chosen = plan(0, only="everything sent twice")
    assert Run(site, chosen).carry_out({}).breaches == []
    # What is not sealed yet may be changed without a trace: that it is sealed is another test's.
    site.wait(lambda: not site.view.rows(UNNOTED)[0]["unnoted"], "all events to be sealed", 30)
