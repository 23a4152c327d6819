"""Commands about who calls the node: associations, peers."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from dicom_node.domain.peer import ALL, Service
from dicom_node.errors import ConfigurationError
from dicom_node.guest_list import configured
from dicom_node.lookup import existing_ledger
from dicom_node.sections import KnownPeer
from dicom_node.show import print_associations, print_peers, print_promises, print_strangers

console = Console(soft_wrap=True, highlight=False)
peers = typer.Typer(help="Who may come in, and who was refused.", no_args_is_help=True)
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


def commitments(
    number: Annotated[int, typer.Option("--number", min=1, help="How many at most")] = 100,
    config: Config = None,
    data: Data = None,
) -> None:
    """Who asked whether its images are kept (Storage Commitment), and if the report arrived."""
    _, ledger = existing_ledger(config, data)
    print_promises(console, ledger.promises.newest(number))


@peers.command("list")
def list_peers(config: Config = None, data: Data = None) -> None:
    """Everybody who may come in."""
    settings, ledger = existing_ledger(config, data)
    print_peers(console, (*configured(settings), *ledger.peers.all()))


@peers.command("add")
def add_peer(
    who: Annotated[str, typer.Argument(help="AE, or AE@address: IP, network or host name")],
    name: Annotated[str, typer.Option(help="Short name; default: the AE title")] = "",
    called: Annotated[list[str] | None, typer.Option(help="Title of ours it may call")] = None,
    service: Annotated[list[Service] | None, typer.Option(help="What it may do")] = None,
    certificate: Annotated[
        str, typer.Option(help="SHA-256 fingerprint or subject alternative name that it must show")
    ] = "",
    note: Annotated[str, typer.Option(help="For people")] = "",
    port: Annotated[int, typer.Option(help="Port to call it back at, for commitments")] = 0,
    config: Config = None,
    data: Data = None,
) -> None:
    """Let a peer in from now on."""
    settings, ledger = existing_ledger(config, data)
    ae_title, _, address = who.partition("@")
    try:
        peer = KnownPeer(
            name=name or ae_title,
            ae_title=ae_title,
            address=address,
            called_ae=tuple(called or ()),
            certificate=certificate,
            services=tuple(service or ALL),
            note=note,
            port=port,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigurationError(f"{who}: {first['loc'][0]}: {first['msg']}") from None
    there = configured(settings)
    if any(one.name == peer.name for one in there):
        raise ConfigurationError(f"peer {peer.name!r} is in node.toml; choose another --name")
    first_of_all = not there and not ledger.peers.all()
    ledger.peers.add(peer.known(), f"cli {getpass.getuser()}")
    console.print(f"{peer.name}: may come in from now on.", markup=False)
    if first_of_all:
        console.print("Note: it is the first on the list; everybody else is refused from now on.")


@peers.command("remove")
def remove_peer(
    name: Annotated[str, typer.Argument(help="The peer's name")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Let a peer in no more that was added by command or on the page."""
    settings, ledger = existing_ledger(config, data)
    ledger.peers.remove(name, f"cli {getpass.getuser()}")
    console.print(f"{name}: may not come in any more.", markup=False)
    if not ledger.peers.all() and not settings.peers:
        console.print("Note: it was the last on the list; everybody may come in from now on.")


@peers.command("refused")
def refused(config: Config = None, data: Data = None) -> None:
    """Callers that were seen but refused, each with the reason and how to let it in."""
    _, ledger = existing_ledger(config, data)
    print_strangers(console, ledger.associations.strangers())
