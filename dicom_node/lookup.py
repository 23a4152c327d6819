"""The ledger and the exam that a command talks about."""

from __future__ import annotations

from pathlib import Path

from dicom_node.errors import LedgerError
from dicom_node.logs import configure
from dicom_node.settings import Settings, config_file, load_settings
from dicom_node.store.ledger import Ledger


def open_ledger(config: Path | None, data: Path | None = None) -> tuple[Settings, Ledger]:
    """Settings and ledger, which may be new."""
    overrides = {} if data is None else {"storage": {"data_dir": str(data)}}
    settings = load_settings(config or config_file(), overrides)
    configure("error")
    return settings, Ledger(settings.ledger_url)


def existing_ledger(config: Path | None, data: Path | None) -> tuple[Settings, Ledger]:
    """Settings and the ledger of a node that has run.

    Raises
    ------
    LedgerError
        When there is none where the settings point to.

    """
    settings, ledger = open_ledger(config, data)
    file = settings.data_dir / "ledger.db"
    if not settings.storage.ledger_url and not file.exists():
        raise LedgerError(f"no ledger at {file}; name the node's folder with --data or --config")
    return settings, ledger


def find(ledger: Ledger, text: str) -> list[str]:
    """Study Instance UIDs that ``text`` names; at least one, or a ``LedgerError``."""
    found = ledger.overview.find(text)
    if not found:
        raise LedgerError(f"{text!r}: no exam with this UID, accession number or Patient ID")
    return found


def one_study(ledger: Ledger, text: str) -> str:
    """The one study that ``text`` names, or a ``LedgerError``."""
    found = find(ledger, text)
    if len(found) > 1:
        raise LedgerError(f"{text!r} names {len(found)} exams; give the Study Instance UID")
    return found[0]
