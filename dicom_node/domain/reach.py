"""Whether a destination is there: a circuit breaker that one C-ECHO at a time closes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dicom_node.domain.delivery import pause

OPEN_AFTER = 3  # failures in a row; a PACS that restarts is back after one or two
PROBE_FIRST_S = 5.0
# An echo a minute costs nobody anything; results follow a minute after the destination is back.
PROBE_MAX_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What is known of a destination; times in seconds by the ledger's clock."""

    failures: int = 0  # attempts to reach it in a row that gave no association
    probes: int = 0  # failed, since it is taken for down
    down_since: float | None = None  # first of the failures
    probe_at: float | None = None  # ``None``: it is not taken for down
    reason: str = ""

    @property
    def down(self) -> bool:
        """Whether nothing is sent before a probe has found it again."""
        return self.probe_at is not None


def unreached(reach: Reach, now: float, reason: str, spread: float) -> Reach:
    """After an attempt or a probe that failed.

    >>> reach = Reach()
    >>> for at in (0.0, 5.0, 15.0):
    ...     reach = unreached(reach, at, "refused", 0.5)
    >>> reach.down, reach.down_since, reach.probe_at
    (True, 0.0, 20.0)
    """
    failures = reach.failures + 1
    since = now if reach.down_since is None else reach.down_since
    opened = failures >= OPEN_AFTER
    probes = reach.probes + opened
    wait = pause(probes, spread, PROBE_FIRST_S, PROBE_MAX_S)
    return Reach(
        failures=failures,
        probes=probes,
        down_since=since,
        probe_at=now + wait if opened else None,
        reason=reason,
    )


def answered(reach: Reach) -> Reach:
    """After a probe that found it: the next attempt decides, and a failure opens it again at once.

    A destination that echoes and takes no association is asked no more often for that.
    """
    return replace(reach, failures=OPEN_AFTER - 1, probe_at=None)
