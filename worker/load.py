"""From a bundle folder to a warm ``Faps``."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dicom_node.errors import BundleError
from worker.contracts import Frame, ModelCard, PreparedView
from worker.faps.crop import CropRule
from worker.faps.predictor import Calibration, Faps, lesion_probability
from worker.faps.refinenet import RefineNet
from worker.faps.xception_ppm import FapsClassifier

CARD, SUMS, GOLDEN = "card.toml", "SHA256SUMS", "golden.safetensors"
SEGMENTATION, CLASSIFICATION = "segmentation.safetensors", "classification.safetensors"
FILES = (CARD, SEGMENTATION, CLASSIFICATION, GOLDEN)


def default_bundle() -> Path:
    """Folder of the bundle that is shipped with the product."""
    return Path(__file__).parent / "bundles" / "faps-first"


def load(bundle: Path, *, allow_unsigned: bool = True, threads: int | None = None) -> Faps:
    """The networks of ``bundle``, verified against its checksums and golden outputs, and warmed up.

    ``threads`` sets how many cores torch may use; None leaves it as it is.

    Raises
    ------
    BundleError
        When a file is missing or changed, the card is incomplete, the weights do not fit the
        architecture, the golden outputs are not reproduced on this machine, or the bundle is
        unsigned and ``allow_unsigned`` is False.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    digest = verify(bundle)
    card, raw = _card(bundle, digest)
    if not card.signed and not allow_unsigned:
        raise BundleError(
            f"bundle {bundle}: it is not signed; install a signed one or allow unsigned bundles"
        )
    try:
        faps = build(card, raw)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"bundle {bundle}: card.toml lacks or misstates {error}; use a bundle of this version"
        ) from error
    _fill(faps.segmentation, bundle / SEGMENTATION)
    _fill(faps.classification, bundle / CLASSIFICATION)
    _prove(faps, bundle / GOLDEN, float(raw["golden"]["tolerance"]))
    _warm_up(faps)
    return faps


def verify(bundle: Path) -> str:
    """SHA-256 over ``SHA256SUMS``, after every file it lists was found unchanged.

    Raises
    ------
    BundleError
        When a file is missing, not listed, or not what it was.
    """
    if not (bundle / SUMS).is_file():
        raise BundleError(f"bundle {bundle}: there is no {SUMS}; point to a bundle folder")
    text = (bundle / SUMS).read_bytes()
    lines = (line.partition("  ") for line in text.decode().splitlines())
    listed = {name: digest for digest, _, name in lines}
    for name in FILES:
        if name not in listed or not (bundle / name).is_file():
            raise BundleError(f"bundle {bundle}: {name} is missing; install the bundle again")
        if hashlib.sha256((bundle / name).read_bytes()).hexdigest() != listed[name]:
            raise BundleError(
                f"bundle {bundle}: {name} is not what {SUMS} says (edited or damaged); "
                "install the bundle again"
            )
    return hashlib.sha256(text).hexdigest()


def _card(bundle: Path, digest: str) -> tuple[ModelCard, dict[str, Any]]:
    """The card as value and as the whole table."""
    try:
        raw = tomllib.loads((bundle / CARD).read_text(encoding="utf-8"))
        card = ModelCard(
            name=str(raw["name"]),
            version=str(raw["version"]),
            uuid=str(raw["uuid"]),
            sha256=digest,
            family=str(raw["family"]),
            thresholds={key: float(value) for key, value in raw["thresholds"].items()},
            statement=str(raw["statement"]),
            clinical=bool(raw["clinical"]),
            signed=bool(raw["signed"]),
            raw=raw,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"bundle {bundle}: card.toml cannot be read ({error}); use a bundle of this version"
        ) from error
    return card, raw


def build(card: ModelCard, raw: Mapping[str, Any]) -> Faps:
    """``Faps`` with networks without weights: on the meta device, nothing is allocated twice."""
    contract, names = raw["input"], dict(raw["classification"])
    energies = tuple(str(name) for name in names.pop("energies"))
    with torch.device("meta"):
        segmentation = RefineNet(**raw["segmentation"])
        classification = FapsClassifier(energies=len(energies), **names)
    height, width = contract["grid"]
    return Faps(
        card=card,
        grid=(int(height), int(width)),
        crop=CropRule(**contract["crop"]),
        energies=energies,
        calibration=Calibration(**raw["calibration"]),
        segmentation=segmentation,
        classification=classification,
    )


def _fill(network: nn.Module, weights: Path) -> None:
    """Give ``network`` the weights of a safetensors file: every one of them and no other."""
    try:
        stored = load_file(weights)
        network.load_state_dict(
            {name: t.float() if t.is_floating_point() else t for name, t in stored.items()},
            strict=True,
            assign=True,
        )
    except (SafetensorError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise BundleError(
            f"bundle {weights.parent}: {weights.name} does not fit the card ({first}); "
            "use weights and card of one bundle"
        ) from error
    network.eval().requires_grad_(requires_grad=False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form


def golden_outputs(faps: Faps, view: Tensor, crops: Tensor) -> dict[str, Tensor]:
    """What both networks answer to a view (1, 2, h, w) and to crops (views, energies, S, S)."""
    with torch.inference_mode():
        small = (int(view.shape[-2]), int(view.shape[-1]))
        logits = faps.classification.logits(faps.classification.features(crops))
        return {
            "probability": lesion_probability(faps.segmentation(view), small),
            "logits": logits.mean(dim=0),
        }


def _prove(faps: Faps, golden: Path, tolerance: float) -> None:
    """Whether this machine's arithmetic gives the stored outputs (faps.md §6.2)."""
    stored = load_file(golden)
    outputs = golden_outputs(faps, stored["view"], stored["crops"])
    for name, output in outputs.items():
        difference = float((output - stored[name]).abs().max())
        if not difference <= tolerance:
            raise BundleError(
                f"bundle {golden.parent}: {name} differs by {difference:.2g} from the golden "
                f"output, {tolerance:.2g} is allowed; this machine computes wrongly, report it"
            )


def _warm_up(faps: Faps) -> None:
    """One run of each network at its real size, so that the first exam does not pay for it."""
    H, W = faps.grid
    frame = Frame((H, W), (H, W), 0, 0, H, W, 1.0, 0.0, 0.0, flipped=False)
    view = PreparedView(image=np.zeros((2, H, W), dtype=np.float32), frame=frame)
    probability = faps.segment(view)
    faps.classify([(view, probability), (view, probability)])
