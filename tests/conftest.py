"""What every test shares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import structlog

collect_ignore = ["preloaded.py"]  # no doctest is worth what it does to a process
# The tests describe settings themselves; a developer's own must not reach them.
for _name in [name for name in os.environ if name.startswith("FAPS_NODE_")]:
    del os.environ[_name]
# Read when torch is loaded: processes that share the cores would wait for each other's threads.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """The longest companies first: what comes last is short, and no process waits long for it."""
    yield
    items.sort(key=lambda item: _turn(company(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Companies stay together. xdist's own groups do not: pytest 9.2 has renamed what they set."""
    from xdist.scheduler import LoadScopeScheduling

    class Companies(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return company(nodeid)

    return Companies(config, log)


ROOT = Path(__file__).resolve().parents[1]
# By how long one company takes.
_LONG = ("hospital", "conformance", "tests/unit/training/", "tests/e2e/", "tests/faults/")


def _turn(name: str) -> int:
    return next((turn for turn, long in enumerate(_LONG) if name.startswith(long)), len(_LONG))


@cache
def company(nodeid: str) -> str:
    """Tests of one name run in one process: a file, or what shares a hospital or analyses."""
    file = nodeid.split("::", maxsplit=1)[0]
    if file.startswith("tests/conformance/"):
        return "conformance"
    if file.startswith("tests/e2e/") and "hospital: Hospital" in (ROOT / file).read_text():
        return "hospital"
    return file


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command run in this process leaves its log on a stream that is closed with its test."""
    yield
    structlog.reset_defaults()
