"""One site for all fault runs of a test session, and copies of its books to spoil."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.auditor import Books, open_books
from tests.faults.site import Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Node, worker, queue, PACS and modality; stopped in order at the end, as it must be."""
    made = Site(tmp_path_factory.mktemp("site"), "sqlite")
    try:
        made.start()
        yield made
        assert made.stop() == []
    finally:
        made.close()


@pytest.fixture
def copied_books(site: Site, tmp_path: Path) -> Callable[[], Books]:
    """Opens a copy of the site's books: whatever is done to it harms nobody."""
    folder = tmp_path / "copy"
    shutil.copytree(site.data / "objects", folder / "node" / "objects")
    shutil.copytree(site.data / "spool", folder / "node" / "spool")
    for file in (*site.folder.glob("*.jsonl"), *site.folder.glob("*.log")):
        shutil.copy(file, folder)
    with sqlite3.connect(site.data / "ledger.db") as source:
        target = sqlite3.connect(folder / "ledger.db")
        source.backup(target)
        target.close()
    source.close()
    about = {"ledger_url": f"sqlite:///{folder / 'ledger.db'}", "data_dir": str(folder / "node")}
    (folder / "site.json").write_text(json.dumps(about))
    return lambda: open_books(folder)
