"""Published builds of viewers out of npm's registry, each checked and kept in a cache."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

FETCH_S = 240


def package(name: str, version: str, sha512: str) -> Path:
    """Folder of an npm package's files; skips the test where it is not to be had.

    ``sha512`` is the registry's ``dist.integrity`` without its prefix. The packages are viewers of
    their own licences: they are fetched for the test and never become part of this repository.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "faps-node-tests"
    home = cache / f"{name.strip('@').replace('/', '-')}-{version}"
    if not home.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            archive = _packed(f"{name}@{version}", Path(folder))
            found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
            assert found == sha512, f"{name}@{version} is not the build that was tested: {found}"
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
            (Path(folder) / "package").rename(home)
    return home


def _packed(wanted: str, folder: Path) -> Path:
    """The package's archive as the registry has it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed; apt-get install npm")
    command = [npm, "pack", "--loglevel=error", "--fetch-retries=1", wanted]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=FETCH_S, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not fetch {wanted} in {FETCH_S} s")
    archives = list(folder.glob("*.tgz"))
    if done.returncode or not archives:
        pytest.skip(f"npm cannot fetch {wanted}: {done.stderr.strip()[-200:]}")
    return archives[0]
