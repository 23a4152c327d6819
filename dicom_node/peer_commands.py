"""Commands that talk to one peer: echo, probe, send, pull."""

from __future__ import annotations

import getpass
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from dicom_node import associate, dicomweb
from dicom_node.associate import describe, peer
from dicom_node.domain.identifiers import is_uid
from dicom_node.domain.offers import not_taken, proposal
from dicom_node.domain.pull import PullState
from dicom_node.errors import ConfigurationError
from dicom_node.lookup import existing_ledger
from dicom_node.probe import probe as ask
from dicom_node.probe import profile_of
from dicom_node.send import Sent, send_folder
from dicom_node.settings import Destination, Settings, config_file, load_settings
from dicom_node.show import print_answers

console = Console()
LOOK_S = 0.2
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file; default: node.toml here")
]
OverTls = Annotated[
    bool, typer.Option("--tls", help="Speak TLS to AE@host:port, with the files of [tls]")
]
Data = Annotated[Path | None, typer.Option("--data", help="The node's data folder")]
Peer = Annotated[str, typer.Argument(help="Configured name, or AE@host:port")]


def _target(
    destination: str, config: Path | None, *, tls: bool
) -> tuple[Settings, Destination, bool]:
    """The settings, the destination that is meant, and whether it is one of theirs."""
    settings = load_settings(config or config_file())
    named = {one.name: one for one in settings.addressees}
    known = named.get(destination)
    made = known or peer(destination, tls=settings.tls if tls else None)
    return settings, made, known is not None


def echo(destination: Peer, config: Config = None, tls: OverTls = False) -> None:  # noqa: FBT002 - a flag
    """C-ECHO to a destination; a query to one on the web."""
    settings, target, _ = _target(destination, config, tls=tls)
    if target.kind == "dicomweb":
        dicomweb.probe(target)
    else:
        associate.echo(target, settings.listener.ae_title)
    console.print(f"{describe(target)} answers.")


def probe(
    destination: Peer,
    config: Config = None,
    tls: OverTls = False,  # noqa: FBT002 - a flag
    as_json: Annotated[bool, typer.Option("--json", help="For machines")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Ask a destination what it takes, and propose its lines for node.toml; nothing is stored."""
    settings, target, configured = _target(destination, config, tls=tls)
    if target.kind == "dicomweb":
        raise ConfigurationError(
            f"{describe(target)} has no presentation contexts to ask for; try `dicom-node echo`"
        )
    answers = ask(target, settings.listener.ae_title)
    taken = {answer.sop_class for answer in answers if answer.accepted}
    lines = proposal(taken).lines
    missing = not_taken(profile_of(target), taken) if configured else ()
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "destination": describe(target),
                    "answers": [asdict(one) | {"accepted": one.accepted} for one in answers],
                    "proposal": lines,
                    "not_taken": missing,
                },
                indent=2,
            )
        )
    else:
        print_answers(console, describe(target), answers, lines, missing)
    if missing:
        raise typer.Exit(1)


def send(
    folder: Annotated[Path, typer.Argument(help="Folder with DICOM files, or one file")],
    to: Annotated[str, typer.Option(help="AE@host:port")],
    ae: Annotated[str, typer.Option(help="AE title to call with")] = "DICOM_NODE",
    config: Config = None,
    tls: OverTls = False,  # noqa: FBT002 - a flag
) -> None:
    """Send DICOM files to any node, as a modality would."""
    if not folder.exists():
        raise ConfigurationError(f"{folder}: does not exist; name a folder with DICOM files")
    target = peer(to, tls=load_settings(config or config_file()).tls if tls else None)
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("sending", total=None)

        def each(sent: Sent) -> None:
            progress.advance(bar)
            if not sent.accepted:
                console.print(f"{sent.path.name}: not stored, {sent.reason}", style="red")

        sent = send_folder(folder, target, ae, each)
    stored = sum(one.accepted for one in sent)
    console.print(f"{stored} of {len(sent)} objects stored by {to}.")
    if stored < len(sent):
        raise typer.Exit(1)


def pull(
    study: Annotated[str, typer.Option("--study", help="Study Instance UID")],
    source: Annotated[str, typer.Option("--from", help="A PACS: its name, or AE@host:port")] = "",
    wait: Annotated[float, typer.Option(help="Seconds to wait for the node's answer")] = 300.0,
    config: Config = None,
    data: Data = None,
) -> None:
    """Let the node fetch what it lacks of a study from a PACS."""
    settings, ledger = existing_ledger(config, data)
    chosen = source or settings.pull.source
    if chosen not in {one.name for one in settings.destinations}:
        if not chosen:
            raise ConfigurationError("from where? Name a PACS with --from, or set pull.source")
        peer(chosen)
    if not is_uid(study):
        raise ConfigurationError(f"{study!r} is no Study Instance UID")
    order = ledger.pulls.order(study, chosen, f"cli {getpass.getuser()}")
    end = time.monotonic() + wait
    row = ledger.pulls.row(order)
    while not row["attempts"] and time.monotonic() < end:
        time.sleep(LOOK_S)
        row = ledger.pulls.row(order)
    if row["state"] == PullState.PULLED.value:
        console.print(f"{row['reason']}.", markup=False, soft_wrap=True)
        return
    words = row["reason"] or "the node has not begun; is it running?"
    again = "" if row["state"] == PullState.NOT_PULLED.value else " It tries again."
    console.print(f"Not pulled: {words}.{again}", markup=False, soft_wrap=True)
    raise typer.Exit(1)
