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
# Read when torch is loaded: processes that share the cores would wait for each other's threads.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """What shares a running hospital or encoded analyses goes to one process, the longest first."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_company(item)))
    yield
    items.sort(key=lambda item: _ORDER.get(_company(item), len(_ORDER)))


_ORDER = {"hospital": 0, "conformance": 1}


def _company(item: pytest.Item) -> str:
    """Tests of one name run in one process, when there are several."""
    if "hospital" in getattr(item, "fixturenames", ()):
        return "hospital"
    return "conformance" if "conformance" in item.path.parts else item.nodeid.split("::")[0]


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command run in this process leaves its log on a stream that is closed with its test."""
    yield
    structlog.reset_defaults()
