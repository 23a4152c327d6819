"""Commands on bundles and their networks."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from dicom_node.errors import BundleError

console = Console(soft_wrap=True)
BundleFolder = Annotated[Path, typer.Argument(help="Bundle folder")]
TrustedKeys = Annotated[
    list[Path] | None, typer.Option("--trust", help="Public key (PEM) of a bundle's maker")
]
bundle_app = typer.Typer(help="Look at a model bundle, verify it, sign it.", no_args_is_help=True)


class Network(Enum):
    """One of the two networks."""

    SEGMENTATION = "segmentation"
    CLASSIFICATION = "classification"


class Decoder(Enum):
    """RefineNet's decoder."""

    NORMAL = "normal"
    LIGHT = "light"


class Head(Enum):
    """At which size RefineNet answers."""

    QUARTER = "quarter"
    FULL = "full"


def convert(
    kind: Annotated[Network, typer.Option(help="What the checkpoint holds")],
    checkpoint: Annotated[Path, typer.Option("--from", help="A state_dict saved by PyTorch")],
    out: Annotated[Path, typer.Option(help="Bundle to write; its other network is kept")],
    decoder: Annotated[Decoder, typer.Option(help="To put on a backbone")] = Decoder.LIGHT,
    head: Annotated[Head, typer.Option(help="To put on a backbone")] = Head.QUARTER,
) -> None:
    """Make a bundle of a published checkpoint: the FAPS authors', or a backbone's."""
    from worker.training.convert import convert as write  # noqa: PLC0415

    write(kind.value, checkpoint, out, decoder=decoder.value, head=head.value, report=say)


def forward(
    bundle: Annotated[Path, typer.Option(help="Bundle folder")],
    network: Annotated[Network, typer.Option(help="Which network")],
    inputs: Annotated[list[Path], typer.Option(help="Arrays (1, 3, H, W) as .npy")],
    out: Annotated[Path, typer.Option(help="Where the logits go, as .npy")],
    more: Annotated[list[Path] | None, typer.Argument(help="Further arrays", hidden=True)] = None,
) -> None:
    """Write raw logits: segmentation of the stack LE, RC, LE; classification of le0 rc0 le1 rc1."""
    from worker.forward import forward as run  # noqa: PLC0415

    shape = run(bundle, network.value, [*inputs, *(more or [])], out)
    say(f"{out}: {network.value} logits {shape}")


TRUNK = "Start a classifier's trunk from the segmentation of its fold"


def train(
    network: Annotated[Network, typer.Argument(help="Which network")],
    out: Annotated[Path, typer.Option(help="Bundle to write; the other network is kept")],
    data: Annotated[Path | None, typer.Option(help="CDD-CESM folder; none: phantoms alone")] = None,
    hours: Annotated[float, typer.Option(min=0.001, help="How long, over all folds")] = 0.5,
    folds: Annotated[int, typer.Option(min=0, help="Cross-validation; 0: two tenths held out")] = 0,
    seed: Annotated[int, typer.Option(help="Where chance begins")] = 0,
    base: Annotated[Path | None, typer.Option(help="Bundle with the other network")] = None,
    warm: Annotated[bool, typer.Option(help="Go on from the base's weights")] = False,  # noqa: FBT002 - a switch
    work: Annotated[Path | None, typer.Option(help="Keeps what a broken-off run needs")] = None,
    cache: Annotated[Path | None, typer.Option(help="Keeps prepared phantoms")] = None,
    phantoms: Annotated[int, typer.Option(min=1, help="Synthetic women to learn from")] = 200,
    beside: Annotated[
        Path | None, typer.Option(help="Bundle whose folds' networks answer with the new ones")
    ] = None,
    from_segmentation: Annotated[bool, typer.Option(help=TRUNK)] = False,  # noqa: FBT002 - a switch
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard")] = None,
) -> None:
    """Train one network of a bundle for a while and measure it on patients it has not seen.

    On a GPU where there is one, on several by `torchrun --nproc-per-node N -m worker train`.
    """
    from worker.training.order import Order  # noqa: PLC0415
    from worker.training.progress import LOSS, bars  # noqa: PLC0415
    from worker.training.retrain import retrain  # noqa: PLC0415

    order = Order(
        data, out, hours, folds, seed, base, warm, work, cache, phantoms, beside, from_segmentation
    )
    with Progress(*Progress.get_default_columns(), LOSS, console=console) as progress:
        retrain(network.value, order, bars(progress, tensorboard))


def evaluate(
    data: Annotated[
        Path, typer.Option(help="CDD-CESM folder whose patients the bundle has not seen")
    ],
    out: Annotated[Path, typer.Option(help="Folder for report.json and report.html")],
    bundle: Annotated[Path | None, typer.Option(help="Default: the shipped one")] = None,
) -> None:
    """Measure a bundle: Dice, detection, AUC, calibration, with confidence intervals."""
    from worker.bundle import default_bundle  # noqa: PLC0415
    from worker.load import load  # noqa: PLC0415
    from worker.training.evaluate import evaluate as run  # noqa: PLC0415

    faps = load(bundle or default_bundle(), allow_unsigned=True, threads=os.cpu_count() or 1)
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("evaluating", total=None)
        report = run(
            data, faps, out, lambda name: progress.update(bar, description=name, advance=1)
        )
    from worker.evaluation.page import figure  # noqa: PLC0415

    segmentation, classification = report["segmentation"], report["classification"]
    say(f"Dice {figure(segmentation, 'dice_mean')} over {segmentation['n']} images with a lesion")
    count = classification["n"]
    say(f"AUC  {figure(classification, 'auc')} over {count} malignant or benign images")
    say(f"{out / 'report.html'}\nResearch use, not for diagnosis.")


@bundle_app.command()
def show(bundle: BundleFolder, trust: TrustedKeys = None) -> None:
    """Print the card: what the model is, was trained on, was measured at, may be used for."""
    from worker.bundle import CARD, open_bundle  # noqa: PLC0415

    opened = open_bundle(bundle, trust or ())
    say((bundle / CARD).read_text(encoding="utf-8").rstrip())
    say(f"\n# SHA-256 of the bundle: {opened.card.sha256}")
    say(f"# {'signed by a trusted key' if opened.card.signed else 'NOT SIGNED'}")
    say("# Research use, not for diagnosis.")


@bundle_app.command()
def verify(bundle: BundleFolder, trust: TrustedKeys = None) -> None:
    """Check every file, the signature, and that this machine gives the golden outputs."""
    from worker.bundle import open_bundle  # noqa: PLC0415
    from worker.load import load_network  # noqa: PLC0415

    opened = open_bundle(bundle, trust or ())
    say(f"files      as {opened.card.name} {opened.card.version} was made")
    for network in opened.networks:
        load_network(opened, network)
        say(f"{network:10} gives its golden output on this machine")
    if not opened.card.signed:
        raise BundleError(f"bundle {bundle}: it is not signed; sign it with `faps bundle sign`")
    say("signature  of a trusted key")


@bundle_app.command()
def sign(
    bundle: BundleFolder,
    key: Annotated[Path, typer.Option(help="Ed25519 private key in PEM")],
) -> None:
    """Sign a bundle, for nodes that trust the key's public half."""
    from worker.bundle import SIGNATURE  # noqa: PLC0415
    from worker.bundle import sign as write  # noqa: PLC0415

    write(bundle, key)
    say(f"{bundle / SIGNATURE}: signed; give nodes the public half:")
    say(f"  openssl pkey -in {key} -pubout -out {key.stem}.pub.pem")
    say("  and name it in worker.trusted_keys")


def say(text: str) -> None:
    """Print a line as it is."""
    console.print(text, markup=False, highlight=False)
