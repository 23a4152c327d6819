"""Commands about what did not arrive, and at which destination."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dicom_node.lookup import existing_ledger
from dicom_node.show import print_destinations, print_undelivered

console = Console(soft_wrap=True, highlight=False)


def undelivered(
    destination: Annotated[str | None, typer.Option(help="Only at this destination")] = None,
    resend: Annotated[bool, typer.Option("--resend", help="Send all of it again")] = False,  # noqa: FBT002 - a flag
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file; default: node.toml here")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="The node's data folder")] = None,
) -> None:
    """How each destination is, and what could not be delivered, with the reason."""
    settings, ledger = existing_ledger(config, data)
    names = [one.name for one in settings.addressees if destination in {None, one.name}]
    print_destinations(console, names, ledger.destinations.reaches(), ledger.destinations.backlog())
    rows = [
        row
        for row in ledger.destinations.undelivered()
        if destination in {None, row["destination"]}
    ]
    print_undelivered(console, rows)
    if resend:
        actor = f"cli {getpass.getuser()}"
        pairs = dict.fromkeys((row["job_id"], row["destination"]) for row in rows)
        number = sum(
            ledger.deliveries.resend(job, name, actor, ended_only=True) for job, name in pairs
        )
        console.print(f"{number} objects are due again.")
