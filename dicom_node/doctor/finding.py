"""What the doctor says of one thing: how it stands, and what to do."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from dicom_node.settings import Settings
from dicom_node.store.folder_lock import held


class Level(enum.Enum):
    """How one thing stands."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's; ``remedy`` is empty where there is nothing to do."""

    area: str
    level: Level
    words: str
    remedy: str = ""


Findings = Iterator[Finding]


def good(area: str, words: str) -> Finding:
    """All is well."""
    return Finding(area, Level.OK, words)


def skipped(area: str, words: str) -> Finding:
    """Nobody has looked, for this reason."""
    return Finding(area, Level.SKIPPED, words)


def warning(area: str, words: str, remedy: str) -> Finding:
    """It works, and somebody should look at it."""
    return Finding(area, Level.WARNING, words, remedy)


def wrong(area: str, words: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(area, Level.WRONG, words, remedy)


def told(area: str, error: Exception) -> Finding:
    """An error of ours, whose message ends with what to do."""
    words, _, remedy = str(error).partition("; ")
    return wrong(area, words, remedy or "see the node's log")


def node_runs(settings: Settings) -> bool:
    """Whether a node works in the data folder now."""
    return held(settings.data_dir, "node")
