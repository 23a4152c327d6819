"""What every test shares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

# The tests describe settings themselves; a developer's own must not reach them.
for _name in [name for name in os.environ if name.startswith("FAPS_NODE_")]:
    del os.environ[_name]


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command run in this process leaves its log on a stream that is closed with its test."""
    yield
    structlog.reset_defaults()
