"""The command that removes what is not needed any more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dicom_node.lookup import existing_ledger
from dicom_node.retain import DAY_S, Retainer
from dicom_node.store.archive import Archive
from dicom_node.verify import Verifier


def sweep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go")] = False,  # noqa: FBT002 - a flag
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file; default: node.toml here")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="The node's data folder")] = None,
) -> None:
    """Remove images of delivered exams older than storage.keep_days, and what crashes left."""
    settings, ledger = existing_ledger(config, data)
    archive = Archive(settings.data_dir)
    console = Console(highlight=False, soft_wrap=True)
    silent_s = 2 * settings.listener.idle_s  # nobody writes to a spool file any more
    days = settings.storage.keep_days
    if not days:
        console.print("storage.keep_days is 0: received images stay for ever.")
    if not dry_run:
        files = archive.sweep(older_than_s=silent_s)
        swept = Retainer(settings.storage, archive, ledger).sweep()
        console.print(f"{swept.exams} exams: {swept.files} files removed.")
        console.print(f"{files} leftovers removed from the spool.")
        orphans = Verifier(settings.storage, archive, ledger).orphans()
        console.print(f"{orphans} files that no row names set aside.")
        _tell_quarantine(console, archive)
        return
    due = ledger.retention.due(days * DAY_S, limit=1_000_000) if days else []
    objects, size = sum(one.objects for one in due), sum(one.size for one in due)
    for one in due:
        console.print(f"{one.study_instance_uid}: {one.objects} objects", markup=False)
    console.print(f"{len(due)} exams, {objects} objects, {size / 1e9:.1f} GB would be removed.")
    marked, left = len(ledger.retention.pending()), len(archive.leftovers(silent_s))
    console.print(f"{marked} files are marked already, {left} leftovers lie in the spool.")
    _tell_quarantine(console, archive)


def _tell_quarantine(console: Console, archive: Archive) -> None:
    number = len(list(archive.quarantine.iterdir()))
    if number:
        console.print(
            f"{number} files lie in {archive.quarantine}: see the runbook, or remove them."
        )
