"""Whether the events are the rows that were written: their seals read once more, by other code."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator

from tests.faults.view import View

SEALED_AFTER_S = 120.0
_COLUMNS = (
    "id", "at", "study_id", "subject", "subject_id", "event", "from_state", "to_state", "reason",
    "actor",
)  # fmt: skip


def broken_links(view: View) -> Iterator[str]:
    """What is wrong with the events as they lie there, and with the chain that seals them."""
    events = {row["id"]: row for row in view.rows("SELECT * FROM events ORDER BY id")}
    yield from (f"event {key} has no actor" for key, row in events.items() if not row["actor"])
    before, sealed = "0" * 64, set()
    for place, seal in enumerate(view.rows("SELECT * FROM seals ORDER BY position"), start=1):
        sealed.add(seal["event_id"])
        event = events.get(seal["event_id"])
        if seal["position"] != place:
            yield f"seal {place} is missing"
            return
        if event is None:
            yield f"event {seal['event_id']} was sealed and is gone"
        elif _digest([event[name] for name in _COLUMNS]) != seal["digest"]:
            yield f"event {seal['event_id']} is not as it was sealed"
        before = hashlib.sha256(f"{before}{seal['digest']}".encode()).hexdigest()
        if before != seal["hash"]:
            yield f"seal {place} does not follow the one before"
            return
    now = ledger_now(view)
    late = [k for k in events.keys() - sealed if now - events[k]["at"] > SEALED_AFTER_S]
    if late:
        yield f"{len(late)} events were never sealed, the first is {min(late)}"


def ledger_now(view: View) -> float:
    """The time by the ledger's clock, which may have jumped: about when it sealed last."""
    rows = view.rows("SELECT sealed_at FROM seals ORDER BY position DESC LIMIT 1")
    return min(time.time(), float(rows[0]["sealed_at"])) if rows else time.time()


def _digest(values: list[object]) -> str:
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()
