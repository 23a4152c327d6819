"""What a peer of the node wrote down for itself, one JSON line each, flushed at once."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from pathlib import Path
from typing import Any

# Stands in every patient's name and number: it must not leave database and archive.
CANARY = "Zzcanary"


class PeerLedger:
    """Rows in memory for the run, and in a file for the auditor."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="ascii")
        self._lock = threading.Lock()
        self.rows: list[dict[str, Any]] = []

    def write(self, **row: Any) -> None:
        row["at"] = round(time.time(), 3)
        with self._lock:
            self.rows.append(row)
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()

    def count(self, **values: Any) -> int:
        with self._lock:
            rows = list(self.rows)
        return sum(all(row.get(name) == value for name, value in values.items()) for row in rows)

    def close(self) -> None:
        self._file.close()


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """All rows of a file; a line that was cut off by a kill is left out."""
    lines = path.read_text(encoding="ascii").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def data_set_hash(content: bytes) -> str:
    """SHA-256 of a DICOM file's data set: what travels, and what a store must give back."""
    # PS3.10 7.1: preamble, "DICM", then (0002,0000) with the length of what is left of group 2.
    assert content[128:136] == b"DICM\x02\x00\x00\x00", "no DICOM file"
    start = 144 + int.from_bytes(content[140:144], "little")
    return hashlib.sha256(content[start:]).hexdigest()
