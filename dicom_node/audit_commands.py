"""Commands about the audit trail: read it, prove it, write its messages out."""

from __future__ import annotations

import getpass
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from dicom_node.attest import house_of
from dicom_node.domain.audit import messages
from dicom_node.lookup import existing_ledger

PAGE = 1000
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file; default: node.toml here")
]
Data = Annotated[Path | None, typer.Option("--data", help="The node's data folder")]
audit = typer.Typer(help="The audit trail: who did what, sealed.", no_args_is_help=True)
console = Console(soft_wrap=True, highlight=False)


@audit.command("list")
def list_events(
    number: Annotated[int, typer.Option("--number", min=1, help="How many at most")] = 50,
    config: Config = None,
    data: Data = None,
) -> None:
    """The newest sealed events; that you looked is an event too."""
    _, ledger = existing_ledger(config, data)
    table = Table("Seal", "When (UTC)", "What", "Event", "Who", "Why", box=None)
    for one in ledger.trail.newest(number):
        moment = datetime.fromtimestamp(one.at, tz=UTC).isoformat(" ", "seconds")[:19]
        what = f"{one.subject} {one.subject_id}"
        table.add_row(str(one.position), moment, what, one.event, one.actor, one.reason)
    console.print(table)
    ledger.trail.note("audit", "list", "read", f"cli {getpass.getuser()}")


@audit.command()
def verify(config: Config = None, data: Data = None) -> None:
    """Whether every event is there as it was written; exit code 1 and the first that is not."""
    _, ledger = existing_ledger(config, data)
    verdict = ledger.chain.verify()
    counts = f"{verdict.sealed} events sealed, {verdict.unsealed} not yet; head {verdict.head}"
    if not verdict.intact:
        console.print(f"BROKEN: {verdict.broken}. {counts}", markup=False)
        raise typer.Exit(1)
    console.print(f"Intact: {counts}", markup=False)


@audit.command()
def export(
    first: Annotated[int, typer.Option(help="First seal")] = 1,
    last: Annotated[int | None, typer.Option(help="Last seal; default: the newest")] = None,
    out: Annotated[Path | None, typer.Option(help="File; default: standard output")] = None,
    config: Config = None,
    data: Data = None,
) -> None:
    """Audit messages (PS3.15 A.5), one a line; they hold Patient IDs. An event too."""
    settings, ledger = existing_ledger(config, data)
    house = house_of(settings)
    ledger.trail.note("audit", "export", "read", f"cli {getpass.getuser()}")
    end = ledger.chain.verify().sealed if last is None else last
    with nullcontext(sys.stdout) if out is None else out.open("w", encoding="utf-8") as file:
        for start in range(first, end + 1, PAGE):
            entries = ledger.trail.between(start, min(end, start + PAGE - 1))
            file.writelines(f"{message.xml}\n" for message in messages(entries, house))
