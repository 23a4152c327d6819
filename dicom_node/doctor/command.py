"""The command that looks at everything once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dicom_node.doctor.finding import Finding, Findings, Level, good, warning, wrong
from dicom_node.doctor.machine import clock, data_folder
from dicom_node.doctor.network import destinations, ports
from dicom_node.doctor.secrecy import certificates
from dicom_node.doctor.services import bundle, database, queue
from dicom_node.errors import ConfigurationError
from dicom_node.settings import Settings, config_file, load_settings

console = Console(soft_wrap=True, highlight=False)
LOOKS: tuple[Callable[[Settings], Findings], ...] = (
    data_folder, database, queue, ports, certificates, destinations, bundle, clock,
)  # fmt: skip
STYLES = {Level.OK: "green", Level.SKIPPED: "dim", Level.WARNING: "yellow", Level.WRONG: "red"}


def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file; default: node.toml here")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="The node's data folder")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Look at everything once, and say for each thing how it stands and what to do."""
    found = []
    for finding in look(config or config_file(), data):
        found.append(finding)
        if not as_json:
            _say(finding)
    bad = sum(one.level is Level.WRONG for one in found)
    if as_json:
        lines = [
            {"area": one.area, "level": one.level.value, "words": one.words, "remedy": one.remedy}
            for one in found
        ]
        typer.echo(json.dumps({"wrong": bad, "findings": lines}, indent=2))
    else:
        odd = sum(one.level is Level.WARNING for one in found)
        console.print(f"{bad} wrong, {odd} to look at, {len(found)} looked at.", markup=False)
    if bad:
        raise typer.Exit(1)


def look(file: Path | None, data: Path | None = None) -> Findings:
    """Everything, one finding after another; without settings there is nothing else to look at."""
    overrides = {} if data is None else {"storage": {"data_dir": str(data)}}
    try:
        settings = load_settings(file, overrides)
    except ConfigurationError as error:
        for line in str(error).splitlines():
            yield wrong("settings", line, "correct it; deploy/node.toml explains every key")
        return
    if file is None:
        words = "no settings file here: the defaults are in force"
        yield warning("settings", words, "copy deploy/node.toml, or name yours with --config")
    else:
        yield good("settings", f"{file} is valid")
    for each in LOOKS:
        yield from _guarded(each, settings)


def _guarded(each: Callable[[Settings], Findings], settings: Settings) -> Findings:
    """What one look finds; one that fails is a finding, and the others go on."""
    try:
        yield from each(settings)
    except Exception as error:  # noqa: BLE001 - the edge: a doctor that faints helps nobody
        area = each.__name__.replace("_", " ")
        words = f"could not be looked at ({type(error).__name__}: {error})"
        yield wrong(area, words, "report it together with this line")


def _say(finding: Finding) -> None:
    console.print(f"{finding.level.value:8}", style=STYLES[finding.level], end="")
    console.print(f"{finding.area:13} {finding.words}", markup=False)
    if finding.remedy:
        console.print(f"{'':22}-> {finding.remedy}", markup=False)
