"""The command line of the node."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import sys
import threading
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from dicom_node import (
    audit_commands,
    caller_commands,
    destination_commands,
    memory,
    peer_commands,
)
from dicom_node.associate import describe, peer
from dicom_node.demo.run import Demo, Options
from dicom_node.doctor.command import doctor
from dicom_node.domain.assessment import category_of
from dicom_node.embedded import worker_command
from dicom_node.errors import ConfigurationError, FapsNodeError, LedgerError
from dicom_node.logs import configure, guard_process
from dicom_node.lookup import existing_ledger, find, one_study, open_ledger
from dicom_node.node import Node
from dicom_node.peer_commands import Config
from dicom_node.settings import (
    Settings,
    child_environment,
    config_file,
    load_settings,
    write_effective,
)
from dicom_node.show import print_sheet, print_studies
from dicom_node.store.migrate import migrate as migrate_database
from dicom_node.sweeping import sweep
from dicom_node.taking_back import withdraw

app = typer.Typer(
    help="DICOM node for AI on contrast-enhanced mammography. Research use, not for diagnosis.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
console = Console()
LOOK_S = 1.0  # between two looks whether a signal has come
Data = Annotated[Path | None, typer.Option("--data", help="The node's data folder")]


class Confirm(Enum):
    """What proves that a destination given with --to keeps the results."""

    NONE = "none"
    COMMITMENT = "commitment"
    QUERY = "query"
    BOTH = "both"


def _settings(config: Path | None, overrides: dict[str, Any] | None = None) -> Settings:
    settings = load_settings(config or config_file(), overrides)
    configure(settings.logs.level)
    guard_process()
    return settings


@app.command()
def up(
    config: Config = None,
    data: Annotated[Path | None, typer.Option(help="Data folder")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the listener")] = None,
    http_port: Annotated[int | None, typer.Option(help="Port of the page")] = None,
    ae: Annotated[str | None, typer.Option(help="Our AE title")] = None,
    to: Annotated[list[str] | None, typer.Option(help="AE@host:port that gets results")] = None,
    confirm: Annotated[Confirm, typer.Option(help="Proof asked of --to")] = Confirm.NONE,
) -> None:
    """Everything in one go: node, worker and page. Ends with SIGTERM or Ctrl-C."""
    overrides: dict[str, Any] = {"listener": {}, "web": {}, "storage": {}}
    given = (("listener", "port", port), ("listener", "ae_title", ae), ("web", "port", http_port))
    for section, key, value in given:
        if value is not None:
            overrides[section][key] = value
    if data is not None:
        overrides["storage"]["data_dir"] = str(data)
    if to:
        peers = [peer(text, confirm=confirm.value) for text in to]
        overrides["destinations"] = [one.model_dump() for one in peers]
    settings = _settings(config, overrides)
    _run(Node(settings, embedded=settings.worker.embedded))


@app.command()
def serve(config: Config = None) -> None:
    """The node without a worker: listener, delivery and page."""
    _run(Node(_settings(config), embedded=False))


def _run(node: Node) -> None:
    """Run a node until a signal, then drain."""
    memory.begin()
    stop = _until_signal()
    node.start()
    memory.started()
    _rest(stop)
    node.stop()


def _rest(stop: threading.Event) -> None:
    """Wait for ``stop``.

    Python handles a signal in the main thread. The kernel may hand one to another thread, as it did
    with SIGTERM right after SIGCONT: then nothing wakes this one, and the node would never end.
    """
    while not stop.wait(LOOK_S):
        pass


def _until_signal() -> threading.Event:
    """An event that SIGTERM and Ctrl-C set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


@app.command()
def worker(config: Config = None) -> None:
    """One worker process, for one GPU or the CPU; start as many as you have GPUs."""
    command = worker_command()
    environment = child_environment(
        write_effective(_settings(config), f"worker-{os.getpid()}.json")
    )
    os.execve(command[0], command, environment)  # noqa: S606 - our own interpreter, fixed arguments


@app.command()
def migrate(config: Config = None) -> None:
    """Bring the database's schema to this version."""
    settings, ledger = open_ledger(config)
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    migrate_database(ledger.database)
    console.print("The database is up to date.")


@app.command()
def check(config: Config = None) -> None:
    """Say in words what is wrong with the settings."""
    file = config or config_file()
    settings = load_settings(file)
    console.print(f"{file or 'defaults'}: the settings are valid.")
    console.print(f"Senders reach {settings.listener.ae_title} at {settings.doors}.")
    if not settings.destinations:
        console.print("Note: no destination is configured; results stay on the page.")
    if not settings.peers:
        console.print(
            "Note: [[peers]] is empty; unless `dicom-node peers add` has listed somebody, everyone "
            f"who calls {settings.listener.ae_title} may come in."
        )
    for destination in settings.addressees:
        console.print(f"Results go to {describe(destination)}, proof: {destination.confirm}.")


@app.command()
def status(
    study: Annotated[str | None, typer.Argument(help="UID, accession number or ID")] = None,
    config: Config = None,
    data: Data = None,
) -> None:
    """All exams and their state, or everything about one of them."""
    settings, ledger = existing_ledger(config, data)
    if study is None:
        print_studies(console, ledger.overview.studies())
        return
    for uid in find(ledger, study):
        sheet = ledger.overview.sheet(uid, settings.completeness.expected_views)
        if sheet is not None:
            print_sheet(console, sheet)


@app.command()
def rerun(
    study: Annotated[str, typer.Argument(help="UID, accession number or Patient ID")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Analyse an exam again; results that were sent are followed by a new revision."""
    _, ledger = existing_ledger(config, data)
    uid = one_study(ledger, study)
    job = ledger.revisions.rerun(uid, actor=f"cli {getpass.getuser()}")
    console.print(f"{uid}: queued as job {job}.")


@app.command()
def birads(
    study: Annotated[str, typer.Argument(help="UID, accession number or Patient ID")],
    breast: Annotated[str, typer.Argument(help="R or L")],
    category: Annotated[str, typer.Argument(help="The radiologist's category, such as 4A")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Enter a radiologist's BI-RADS category; the exam's next revision says what it suggests."""
    settings, ledger = existing_ledger(config, data)
    if not settings.assistance.birads:
        raise ConfigurationError("assistance.birads is off: set it to true, then restart the node")
    side, given = category_of(f"{breast} {category}")
    uid = one_study(ledger, study)
    job = ledger.revisions.assess(uid, side, given, actor=f"cli {getpass.getuser()}")
    then = f"queued as job {job}" if job else "nothing to analyse again now"
    console.print(f"{uid}: {side} BI-RADS {given}; {then}.")


@app.command()
def resend(
    study: Annotated[str, typer.Argument(help="UID, accession number or Patient ID")],
    destination: Annotated[str | None, typer.Option(help="Only to this destination")] = None,
    config: Config = None,
    data: Data = None,
) -> None:
    """Send the stored results of an exam again, the same bytes."""
    _, ledger = existing_ledger(config, data)
    uid = one_study(ledger, study)
    job = ledger.revisions.newest_job(uid)
    number = 0
    sheet = ledger.overview.sheet(uid, ())
    names = sorted({row["destination"] for row in sheet.deliveries}) if sheet else []
    if destination is not None and destination not in names:
        raise LedgerError(f"{uid}: nothing goes to {destination!r}, only to {', '.join(names)}")
    if job is not None:
        actor = f"cli {getpass.getuser()}"
        number = ledger.deliveries.resend(job, destination, actor)
    if number == 0:
        raise LedgerError(f"{uid}: there are no results to send; see `dicom-node status {study}`")
    console.print(f"{uid}: {number} objects are due again.")


app.command()(withdraw)
app.command()(sweep)
app.command()(doctor)
app.command()(caller_commands.associations)
app.command()(caller_commands.commitments)
app.command()(destination_commands.undelivered)
app.add_typer(caller_commands.peers, name="peers")
app.add_typer(audit_commands.audit, name="audit")
for talk in (peer_commands.echo, peer_commands.probe, peer_commands.send, peer_commands.pull):
    app.command()(talk)


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End after one exam")] = False,  # noqa: FBT002 - a flag
    out: Annotated[Path | None, typer.Option(help="Copy what the PACS received here")] = None,
    data: Annotated[Path, typer.Option(help="Folder of the trial")] = Path("demo-data"),
    seed: Annotated[int, typer.Option(help="Which phantom")] = 5,
    port: Annotated[int, typer.Option(help="Port of the listener")] = 11112,
    http_port: Annotated[int, typer.Option(help="Port of the page")] = 8080,
    pacs_port: Annotated[int, typer.Option(help="Port of the small PACS")] = 11113,
) -> None:
    """A trial: one synthetic exam through the node into a small PACS, with a summary."""
    configure("error")
    # A trial that is ended early must end the node and the PACS that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    trial = Demo(Options(data, seed, port, http_port, pacs_port, say))

    def stay() -> None:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            for path in trial.pacs.received.values():
                shutil.copy2(path, out / path.name)
        if not once:
            say("\nThe node is up; press Ctrl-C to end.")
            _rest(_until_signal())

    trial.run(stay)


def main() -> None:
    """Run a command; a known error ends in one clear line and status 1."""
    try:
        app()
    except FapsNodeError as error:
        Console(stderr=True, soft_wrap=True).print(
            f"dicom-node: {error}", style="red", markup=False, highlight=False
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
