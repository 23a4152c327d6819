"""The command line of the analysis."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from dicom_node.domain.assessment import category_of
from dicom_node.domain.exam import FULL_EXAM
from dicom_node.errors import ConfigurationError, FapsNodeError
from dicom_node.settings import calm_openmp
from worker.contracts import Finding
from worker.model_commands import TrustedKeys, bundle_app, convert, evaluate, forward, train

app = typer.Typer(
    help="FAPS on contrast-enhanced mammography. Research use, not for diagnosis.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(bundle_app, name="bundle")
app.command()(convert)
app.command()(forward)
app.command()(train)
app.command()(evaluate)
console = Console(soft_wrap=True)
Bundle = Annotated[Path | None, typer.Option(help="Model bundle; default: the shipped one")]
Out = Annotated[Path, typer.Option(help="Folder to write to")]


class Dialect(Enum):
    """How images say what they are."""

    STANDARD = "standard"
    GE = "ge"


def _now() -> datetime:
    return datetime.now(tz=UTC).replace(microsecond=0)  # noqa: TID251 - the edge: a person's command


def _in_short(finding: Finding) -> str:
    """One breast in one line."""
    p, given = finding.p_malignant, finding.assistance
    words = f"{finding.laterality}: {finding.decision}"
    if p is not None:
        words += f", probability of malignancy {100 * p:.0f} %"
    if given is not None:
        words += f"; BI-RADS {given.category}: {given.suggestion or 'nothing to suggest'}"
    return words


@app.command()
def analyse(
    folder: Annotated[Path, typer.Argument(help="Folder with DICOM files of one or more exams")],
    out: Out,
    bundle: Bundle = None,
    trust: TrustedKeys = None,
    allow_unsigned: Annotated[bool, typer.Option(help="Take a bundle that nobody signed")] = False,  # noqa: FBT002 - a switch
    birads: Annotated[
        list[str] | None, typer.Option(help='The radiologist\'s category of a breast: "R 4A"')
    ] = None,
) -> None:
    """Analyse files without a network; writes SEG, SR, pictures and analysis.json.

    Results carry the time of the newest file: the same files give the same bytes.
    """
    # torch takes seconds to import: commands that need none of it start at once.
    from worker.bundle import default_bundle  # noqa: PLC0415
    from worker.faps.assist import require_limits  # noqa: PLC0415
    from worker.load import load  # noqa: PLC0415
    from worker.offline import analyse_files, find_exams  # noqa: PLC0415

    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: is no folder; name one with DICOM files")
    categories = dict(category_of(words) for words in birads or ())
    exams = find_exams(folder)
    faps = load(
        bundle or default_bundle(),
        allow_unsigned=allow_unsigned,
        trusted=trust or (),
        threads=os.cpu_count() or 1,
    )
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("analysing", total=len(exams))

        def view_begins(view: str) -> None:
            progress.update(bar, description=f"analysing {view}")

        if categories:
            require_limits(faps.card)
        for analysis, where in analyse_files(exams, out, faps, FULL_EXAM, view_begins, categories):
            progress.advance(bar)
            console.print(f"{where}: {analysis.status.value}", analysis.reason, markup=False)
            for finding in analysis.findings:
                console.print(f"  {_in_short(finding)}")
    console.print("Research use, not for diagnosis.")


@app.command()
def phantom(
    out: Out,
    exams: Annotated[int, typer.Option(min=1, help="How many exams")] = 1,
    seed: Annotated[int, typer.Option(help="The first exam's seed")] = 1,
    dialect: Annotated[Dialect, typer.Option(help="Vendor's dialect")] = Dialect.STANDARD,
    run: Annotated[str, typer.Option(help="Another run is another study")] = "",
    rows: Annotated[int, typer.Option(min=512)] = 3328,
    columns: Annotated[int, typer.Option(min=512)] = 2560,
    malignant: Annotated[bool | None, typer.Option("--malignant/--benign")] = None,
) -> None:
    """Write synthetic CEM exams as DICOM: CC and MLO of both breasts, low-energy + recombined."""
    from worker.training.phantom.write import write_exams  # noqa: PLC0415

    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("making phantoms")

        def step(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)

        write_exams(
            out,
            exams=exams,
            seed=seed,
            dialect=dialect.value,
            rows=rows,
            columns=columns,
            # The detector keeps its size whatever the matrix: a smaller one shows it coarser.
            spacing_mm=0.07 * 3328 / rows,
            malignant=malignant,
            run=run,
            acquired=_now(),
            masks=True,
            progress=step,
        )
    console.print(f"{exams} synthetic exams in {out}. Research use, not for diagnosis.")


@app.command()
def dicomize(
    images: Annotated[list[Path], typer.Argument(help="Pictures, named as P3_L_DM_MLO.jpg")],
    out: Out,
    dialect: Annotated[Dialect, typer.Option(help="Vendor's dialect")] = Dialect.STANDARD,
    spacing: Annotated[float, typer.Option(help="Assumed pixel spacing in mm", min=0.01)] = 0.1,
    patient: Annotated[str | None, typer.Option(help="Patient ID; default: the name's")] = None,
    laterality: Annotated[str | None, typer.Option(help="L or R, for one pair")] = None,
    view: Annotated[str | None, typer.Option(help="CC or MLO, for one pair")] = None,
    run: Annotated[str, typer.Option(help="Another run is another study")] = "",
) -> None:
    """Wrap public pairs of CEM pictures as DICOM, the low-energy one on the recombined grid."""
    from worker.training.dicomize import dicomize as write  # noqa: PLC0415

    files = write(
        images,
        out,
        dialect=dialect.value,
        spacing_mm=spacing,
        patient_id=patient,
        laterality=laterality,
        view=view,
        run=run,
        acquired=_now(),
    )
    console.print(f"{len(files)} DICOM files in {out}. Research use, not for diagnosis.")


def main() -> None:
    """Run a command; a known error ends in one clear line and status 1."""
    calm_openmp()
    try:
        app()
    except FapsNodeError as error:
        Console(stderr=True, soft_wrap=True).print(
            f"faps: {error}", style="red", markup=False, highlight=False
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
