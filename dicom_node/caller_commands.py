"""Commands about who calls the node: associations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dicom_node.lookup import existing_ledger
from dicom_node.show import print_associations

console = Console()
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file; default: node.toml here")
]
Data = Annotated[Path | None, typer.Option("--data", help="The node's data folder")]


def associations(
    failed: Annotated[bool, typer.Option("--failed", help="Only those that went badly")] = False,  # noqa: FBT002 - a flag
    number: Annotated[int, typer.Option("--number", min=1, help="How many at most")] = 100,
    config: Config = None,
    data: Data = None,
) -> None:
    """Who called, accepted or not, how it went, and what to do about it."""
    _, ledger = existing_ledger(config, data)
    print_associations(console, ledger.associations.newest(number, failed=failed))
