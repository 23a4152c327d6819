"""What every test shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# The tests describe settings themselves; a developer's own must not reach them.
for _name in [name for name in os.environ if name.startswith("FAPS_NODE_")]:
    del os.environ[_name]


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parents[1]
