"""Whether a worker of this container has told the database lately that it is there."""

# ruff: noqa: INP001 - a script that is copied into an image, no part of a package
from __future__ import annotations

import socket
import sys

from dicom_node.settings import config_file, load_settings
from dicom_node.store.ledger import Ledger

WITHIN_S = 30.0


def main() -> int:
    """0 when a worker of this host was heard of, 1 otherwise."""
    ledger = Ledger(load_settings(config_file()).ledger_url)
    owners = ledger.workers.alive(WITHIN_S)
    ledger.close()
    # An owner's name begins with its host: see dicom_node/store/owners.py.
    return 0 if any(owner.startswith(f"{socket.gethostname()}/") for owner in owners) else 1


if __name__ == "__main__":
    sys.exit(main())
