"""What forked commands need, imported once; only the process that forks them imports this."""

from __future__ import annotations

import os

os.environ["COLUMNS"] = "240"  # consoles are as wide as this when they are made
