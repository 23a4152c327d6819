"""One process for one data folder."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from dicom_node.errors import ConfigurationError


def hold(folder: Path, name: str) -> IO[bytes]:
    """Lock ``folder`` under ``name`` until the returned file is closed or the process ends.

    Raises
    ------
    ConfigurationError
        When another process holds it.

    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (folder / f"{name}.lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ConfigurationError(
            f"{folder} is in use by another {name}; stop that one or choose another folder"
        ) from None
    return file


def held(folder: Path, name: str) -> bool:
    """Whether a process holds the lock now; nothing is made or changed."""
    try:
        with (folder / f"{name}.lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
