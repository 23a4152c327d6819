"""Whether the events are the rows that were written, each in its place."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.view import View


def broken_links(view: View) -> Iterator[str]:
    """What is wrong with the numbering of the events."""
    rows = view.rows("SELECT id, at, actor FROM events ORDER BY id")
    for row in rows:
        if not row["actor"]:
            yield f"event {row['id']} has no actor"
