"""Every function that is fuzzed, by name: it takes bytes, and raises only where a fault is."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz import object_targets, wire_targets

Target = Callable[[bytes], None]
TARGETS: dict[str, Target] = {
    "pdata": wire_targets.pdata,
    "command": wire_targets.command,
    "structure": object_targets.structure,
    "spooled": object_targets.spooled,
    "spool_file": object_targets.spool_file,
    "header": object_targets.header,
}
