"""The command by which a person takes an exam's results back."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dicom_node.domain.rejection import Reason
from dicom_node.lookup import existing_ledger, one_study


def withdraw(
    study: Annotated[str, typer.Argument(help="UID, accession number or Patient ID")],
    reason: Annotated[Reason, typer.Option(help="Why, as the note's title says it")],
    text: Annotated[str, typer.Option(help="Why in words, for the readers at the PACS")] = "",
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file; default: node.toml here")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="The node's data folder")] = None,
) -> None:
    """Take back an exam's results: nothing more is sent, a rejection note names what was."""
    settings, ledger = existing_ledger(config, data)
    uid = one_study(ledger, study)
    actor = f"cli {getpass.getuser()}"
    done = ledger.withdrawals.withdraw(uid, reason, " ".join(text.split()), actor)
    parts = []
    if done.cancelled:
        parts.append(f"{done.cancelled} objects will not be sent")
    parts.append(
        f"a rejection note goes to {', '.join(done.noted)}" if done.noted else "nothing was sent"
    )
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{uid}: withdrawn; {', '.join(parts)}.", markup=False)
    gone = sorted(set(done.noted) - {destination.name for destination in settings.addressees})
    if gone:
        console.print(
            f"Note: {', '.join(gone)} is no destination any more; its note waits until it is one.",
            markup=False,
        )
