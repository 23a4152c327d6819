"""How long it took until things went on, read from the peers' ledgers and the events."""

from __future__ import annotations

from typing import Any

from tests.faults.site import Site

NODE = "node killed → port open"
CLAIM = "worker killed → claimed"
QUEUE = "queue emptied → claimed"
DATABASE = "database back → first 0x0000"
DESTINATION = "destination back → delivered"
# What reliability asks for, in seconds, with the leases of these runs (LEASE_S instead of 60 s).
TARGETS = {CLAIM: 10.0, QUEUE: 10.0, DATABASE: 5.0, DESTINATION: 600.0}

_EVENTS = """
SELECT e.at, e.event, e.subject, e.from_state FROM events e JOIN studies s ON s.id = e.study_id
WHERE s.study_instance_uid = ? ORDER BY e.id
"""


def measure(
    kind: str, site: Site, study: str, begun: float, ended: float, passed_s: float
) -> float | None:
    """Seconds from the fault (its end, for what was down meanwhile), or None where it hit nothing.

    ``passed_s`` is time that was let pass by changing rows; it counts as if it had been waited.
    """
    events = site.view.rows(_EVENTS, [study])
    if kind == CLAIM and _state_at(events, begun) == "analysing":
        return _first(events, "claimed", begun)
    if kind == QUEUE and _state_at(events, begun) == "queued":
        return _first(events, "claimed", ended)
    if kind == DATABASE:
        answers = [row["at"] for row in list(site.sent.rows) if row["status"] == 0]
        # Only where it was down while something was being sent.
        waited = [row for row in site.sent.rows if begun < row["at"] and row["status"] != 0]
        after = [at for at in answers if at > ended]
        return after[0] - ended if after and waited else None
    if kind == DESTINATION:
        late = [e["at"] for e in events if e["event"] == "success" and e["at"] > ended]
        return late[-1] - ended + passed_s if late else None
    return None


def _state_at(events: list[dict[str, Any]], at: float) -> str:
    """The newest job's state at a moment."""
    state = ""
    for event in events:
        if event["subject"] == "job" and event["at"] <= at:
            state = _AFTER.get(event["event"], "later")
    return state


_AFTER = {"created": "queued", "claimed": "analysing", "lease_lost": "queued", "retry": "queued"}


def _first(events: list[dict[str, Any]], name: str, after: float) -> float | None:
    times = [event["at"] for event in events if event["event"] == name and event["at"] > after]
    return times[0] - after if times else None
