"""From a bundle folder to a warm ``Faps``, or to one of its networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dicom_node.errors import BundleError
from worker.bundle import (
    CLASSIFICATION,
    GOLDEN,
    NETWORKS,
    SEGMENTATION,
    Bundle,
    open_bundle,
    weights_of,
)
from worker.contracts import Frame, ModelCard, PreparedView
from worker.engine import TORCH, with_engine
from worker.faps.crop import CropRule
from worker.faps.ensemble import Classifier, FapsClassifiers, RefineNets, Segmenter
from worker.faps.familiar import Familiar
from worker.faps.predictor import Calibration, Faps, lesion_probability
from worker.faps.refinenet import RefineNet
from worker.faps.xception_ppm import FapsClassifier
from worker.storage import read


def load(
    path: Path,
    *,
    allow_unsigned: bool = False,
    trusted: Sequence[Path] = (),
    threads: int | None = None,
    engine: str = TORCH,
    report: Callable[[str], None] = lambda _line: None,
) -> Faps:
    """The networks of a bundle, verified against its checksums and golden outputs, and warmed up.

    ``trusted`` are public keys beside the shipped ones, ``threads`` sets how many cores torch may
    use; None leaves it as it is. ``engine`` is as for ``with_engine``, which says what it finds to
    ``report``.

    Raises
    ------
    BundleError
        When a file is missing or changed, the card is incomplete, the weights do not fit the
        architecture, the golden outputs are not reproduced on this machine, or the bundle is
        unsigned and ``allow_unsigned`` is False.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    bundle = open_bundle(path, trusted)
    for network in NETWORKS:
        if network not in bundle.networks:
            raise BundleError(
                f"bundle {path}: it has no {network} network, an analysis needs both; "
                f"add one with `faps convert` or `faps train {network}`"
            )
    if not bundle.card.signed and not allow_unsigned:
        raise BundleError(
            f"bundle {path}: it is not signed; sign it with `faps bundle sign`, or allow unsigned "
            "bundles (worker.allow_unsigned, --allow-unsigned): every result then says so"
        )
    with _card_of(bundle):
        faps = replace(build(bundle.card, bundle.raw), familiar=_familiar(path))
    _fill(faps.segmentation, path / weights_of(SEGMENTATION))
    _fill(faps.classification, path / weights_of(CLASSIFICATION))
    _prove_both(faps, bundle)
    faps = with_engine(faps, engine, partial(_prove_both, bundle=bundle), report)
    _warm_up(faps)
    return faps


def _familiar(path: Path) -> Familiar | None:
    """What the classifier has learnt from; bundles before 0.4 do not say."""
    kept = load_file(path / GOLDEN)
    if MEAN not in kept:
        return None
    return Familiar(kept[MEAN], kept[SPREAD])


def _prove_both(faps: Faps, bundle: Bundle) -> None:
    prove({SEGMENTATION: faps.segmentation, CLASSIFICATION: faps.classification}, bundle)


def load_network(bundle: Bundle, network: str) -> Segmenter | Classifier:
    """One network of a bundle, proved by its golden output; signed or not.

    Raises
    ------
    BundleError
        As ``load``, and when the bundle does not have it.
    """
    if network not in bundle.networks:
        raise BundleError(
            f"bundle {bundle.path}: it has no {network} network, only {bundle.networks[0]}"
        )
    with _card_of(bundle):
        made = network_of(network, bundle.raw)
    _fill(made, bundle.path / weights_of(network))
    prove({network: made}, bundle)
    return made


@contextmanager
def _card_of(bundle: Bundle) -> Iterator[None]:
    """What the card gets wrong while networks are made of it, as an error that names the card."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"bundle {bundle.path}: card.toml lacks or misstates {error}; "
            "use a bundle of this version"
        ) from error


def network_of(network: str, raw: Mapping[str, Any]) -> Segmenter | Classifier:
    """A network as the card describes it, without weights: on the meta device.

    ``members`` of the card says how many of them answer together, one where it says nothing;
    ``beside`` describes others, of another architecture, that answer with them.
    """
    options = dict(raw[network])
    families = [options, *([dict(options.pop("beside"))] if "beside" in options else [])]
    energies = len(options.pop("energies", ()))
    with torch.device("meta"):
        if network == SEGMENTATION:
            nets = [RefineNet(**family) for family in _each(families)]
            return nets[0] if len(nets) == 1 else RefineNets(nets)
        classifiers = [FapsClassifier(energies=energies, **family) for family in _each(families)]
        return classifiers[0] if len(classifiers) == 1 else FapsClassifiers(classifiers)


def _each(families: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The options of every member of every family."""
    for family in families:
        alone = {name: value for name, value in family.items() if name != "members"}
        yield from [alone] * int(family.get("members", 1))


def build(card: ModelCard, raw: Mapping[str, Any]) -> Faps:
    """``Faps`` with networks without weights: nothing is allocated twice."""
    contract = raw["input"]
    segmentation, classification = (network_of(name, raw) for name in NETWORKS)
    if not isinstance(segmentation, Segmenter) or not isinstance(classification, Classifier):
        raise TypeError("networks")
    height, width = contract["grid"]
    # Bundles before 0.3 gave the network the whole grid.
    rows, columns = contract.get("size", contract["grid"])
    return Faps(
        card=card,
        grid=(int(height), int(width)),
        size=(int(rows), int(columns)),
        crop=CropRule(**contract["crop"]),
        channels=tuple(str(name) for name in contract["channels"]),
        energies=tuple(str(name) for name in raw[CLASSIFICATION]["energies"]),
        calibration=Calibration(**raw["calibration"]),
        segmentation=segmentation,
        classification=classification,
    )


def _fill(network: nn.Module, weights: Path) -> None:
    """Give ``network`` the weights of a safetensors file: every one of them and no other."""
    try:
        network.load_state_dict(read(weights), strict=True, assign=True)
    except (SafetensorError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise BundleError(
            f"bundle {weights.parent}: {weights.name} does not fit the card ({first}); "
            "use weights and card of one bundle"
        ) from error
    network.eval().requires_grad_(requires_grad=False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form


def golden_output(network: Segmenter | Classifier, inputs: Tensor) -> Tensor:
    """What a network answers to a view (1, C, h, w), or to crops (views, energies, S, S)."""
    with torch.inference_mode():
        if isinstance(network, Segmenter):
            return lesion_probability(network(inputs), (inputs.shape[-2], inputs.shape[-1]))
        return network.logits(network.features(inputs)).mean(dim=0)


MEAN, SPREAD = "familiar_mean", "familiar_spread"  # in the golden file
# Names of input and output of each network in the golden file.
GOLDEN_NAMES = {SEGMENTATION: ("view", "probability"), CLASSIFICATION: ("crops", "logits")}


def prove(networks: Mapping[str, Segmenter | Classifier], bundle: Bundle) -> None:
    """Whether this machine's arithmetic gives the stored outputs (faps.md §6.2).

    Raises
    ------
    BundleError
        When it does not, or there are none.
    """
    stored = load_file(bundle.path / GOLDEN)
    with _card_of(bundle):
        tolerance = float(bundle.raw["golden"]["tolerance"])
    for name, network in networks.items():
        question, answer = GOLDEN_NAMES[name]
        with _card_of(bundle):
            difference = (golden_output(network, stored[question]) - stored[answer]).abs().max()
        if not float(difference) <= tolerance:
            raise BundleError(
                f"bundle {bundle.path}: {answer} differs by {float(difference):.2g} from the "
                f"golden output, {tolerance:.2g} is allowed; this machine computes wrongly, "
                "report it"
            )


def _warm_up(faps: Faps) -> None:
    """One run of each network at its real size, so that the first exam does not pay for it."""
    H, W = faps.grid
    frame = Frame((H, W), (H, W), 0, 0, H, W, 1.0, 0.0, 0.0, flipped=False)
    view = PreparedView(image=np.zeros((2, H, W), dtype=np.float32), frame=frame)
    probability = faps.segment(view)
    faps.classify([(view, probability), (view, probability)])
