"""Writing a model bundle: card, weights, golden outputs, checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from dicom_node.domain.identifiers import derive_id
from worker.bundle import (
    CARD,
    CLASSIFICATION,
    GOLDEN,
    NETWORKS,
    SEGMENTATION,
    SIGNATURE,
    SUMS,
    weights_of,
)
from worker.exam.pixels import BRIGHTEST, GRID, OUTSIDE
from worker.faps.familiar import Familiar
from worker.load import GOLDEN_NAMES, MEAN, SPREAD, golden_output, network_of
from worker.storage import stored, widened

# The first bundle's networks (faps.md §2.3): 3.0 M and 1.6 M parameters.
SEGMENTATION_NET: dict[str, Any] = {
    "depth": 18,
    "width": 32,
    "features": 64,
    "decoder": "light",
    "head": "quarter",
    "in_channels": 2,
}
CLASSIFICATION_NET: dict[str, Any] = {
    "width": 0.25,
    "pyramid": "semseg",
    "in_channels": 1,
    "energies": ["low_energy", "recombined"],
}
CROP: dict[str, Any] = {"size": 160, "margin": 2.0, "smallest": 64, "outside": OUTSIDE}
SIZE = (384, 216)  # of a view as the segmentation network is given it: Dice 0.64, at GRID 0.62
LARGEST = 38_000_000  # bytes of weights: a bundle shall stay below 40 MB
GOLDEN_TOLERANCE = 1e-3  # other machines' BLAS differ by 1e-5; a wrong weight by far more
GOLDEN_SIZE = (64, 64)

INTENDED_USE = (
    "Research on contrast-enhanced mammography: outlines a mass on the low-energy and recombined "
    "pair of a view, estimates a probability of malignancy over CC and MLO. Not for diagnosis."
)
EXCLUSIONS = [
    "implants",
    "spot, magnification and biopsy images",
    "images for processing",
    "more than three lesions in a view",
    "any clinical decision",
]
CDD_CESM = (
    "Khaled R., Helal M., Alfarghaly O., Mokhtar O., Elkorany A., El Kassas H., Fahmy A. "
    "Categorized Digital Database for Low energy and Subtracted Contrast Enhanced Spectral "
    "Mammography images. The Cancer Imaging Archive, 2021, doi 10.7937/29kw-ae92; "
    "Scientific Data 9 (2022), doi 10.1038/s41597-022-01238-0. CC BY 4.0. "
    "Changes: resized, masks redrawn from the published regions."
)


def base_card(name: str, version: str) -> dict[str, Any]:
    """Card of a bundle before anything was measured: identity, architecture, input contract.

    The architecture is the first bundle's; whoever has other networks puts their tables in.
    """
    return {
        "name": name,
        "version": version,
        "uuid": derive_id("bundle", name, version),
        "family": "RefineNet-LW18 + Xception-PPM",
        "statement": "Untrained weights, for tests of the path alone.",
        "clinical": False,
        "licence": "Apache-2.0; weights derived from CC BY 4.0 data, see training.attribution",
        "intended_use": INTENDED_USE,
        "exclusions": EXCLUSIONS,
        SEGMENTATION: dict(SEGMENTATION_NET),
        CLASSIFICATION: dict(CLASSIFICATION_NET),
        "input": {
            "channels": ["low_energy", "recombined"],
            "grid": list(GRID),
            "size": list(SIZE),
            "normalisation": (
                "per image, inside the breast: median to 0, half of the 5-95 % range to 1, clipped "
                f"to [{OUTSIDE}, {BRIGHTEST}]; everything outside the breast {OUTSIDE}; "
                "the recombined image then loses its slow background and is normalised again"
            ),
            "geometry": "breast box, chest wall left, aspect kept, area average onto the grid",
            "crop": dict(CROP),
        },
        "thresholds": {
            "segment": 0.5,
            "peak": 0.6,
            "min_area_px": 30.0,
            "max_area_fraction": 0.45,
            "benign_below": 0.35,
            "malignant_from": 0.65,
        },
        "calibration": {"slope": 1.0, "intercept": 0.0},
        "golden": {"tolerance": GOLDEN_TOLERANCE},
        "training": {"attribution": CDD_CESM},
        "measured": {},
    }


def write_bundle(
    out: Path,
    card: Mapping[str, Any],
    states: Mapping[str, Mapping[str, torch.Tensor]],
    *,
    exact: bool = False,
    familiar: Familiar | None = None,
) -> None:
    """Bundle folder ``out`` from a card and the state dicts of its networks, one or both.

    Replaces what was there. Weights are stored as fp16, as int8 where fp16 would be more than
    ``LARGEST``, or as they are where ``exact``; they are used as fp32. The golden outputs are those
    of the stored weights, so ``load`` proves what it reads. A signature ends with the bundle that
    it was made for.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in (SIGNATURE, *map(weights_of, NETWORKS)):
        (out / name).unlink(missing_ok=True)
    (out / CARD).write_text(toml_text(card), encoding="utf-8")
    numbers = sum(t.numel() for state in states.values() for t in state.values())
    small = not exact and numbers * 2 > LARGEST
    golden: dict[str, torch.Tensor] = {}
    for name, state in states.items():
        files = stored(state, exact=exact, small=small)
        (out / weights_of(name)).write_bytes(save(files))
        size = GOLDEN_SIZE if exact or name != SEGMENTATION else tuple(card["input"]["size"])
        golden |= _golden(name, card, widened(files), size)
    if familiar is not None:
        golden |= {MEAN: familiar.mean, SPREAD: familiar.spread}
    (out / GOLDEN).write_bytes(save({key: t.contiguous() for key, t in golden.items()}))
    files_written = (CARD, *map(weights_of, states), GOLDEN)
    sums = [
        f"{hashlib.sha256((out / name).read_bytes()).hexdigest()}  {name}" for name in files_written
    ]
    (out / SUMS).write_text("\n".join(sums) + "\n", encoding="utf-8")


def _golden(
    name: str,
    card: Mapping[str, Any],
    weights: dict[str, torch.Tensor],
    size: tuple[int, ...],
) -> dict[str, torch.Tensor]:
    """A fixed input with the answer of one network to it, under the names of the golden file.

    A view has the ``size`` at which the bundle works: loading then warms up what it proves.
    """
    network = network_of(name, card)
    network.load_state_dict(weights, strict=True, assign=True)
    dice = torch.Generator().manual_seed(7)
    if name == SEGMENTATION:
        shape = (1, int(card[name]["in_channels"]), *size)
        inputs = torch.rand(shape, generator=dice) * (BRIGHTEST - OUTSIDE) + OUTSIDE
    else:
        shape = (2, len(card[name]["energies"]), *size)
        inputs = torch.rand(shape, generator=dice) * 4 - 2
    question, answer = GOLDEN_NAMES[name]
    return {question: inputs, answer: golden_output(network.eval(), inputs)}


def toml_text(table: Mapping[str, Any], prefix: str = "") -> str:
    """A nested table of plain values as TOML: scalars first, then its tables.

    >>> print(toml_text({"a": 1, "b": {"c": [1.5, 2.0], "d": True}}))
    a = 1
    <BLANKLINE>
    [b]
    c = [1.5, 2.0]
    d = true
    <BLANKLINE>
    """
    lines = [f"{k} = {_toml_value(v)}" for k, v in table.items() if not isinstance(v, Mapping)]
    text = "\n".join(lines) + ("\n" if lines else "")
    for key, value in table.items():
        if isinstance(value, Mapping):
            name = f"{prefix}{key}"
            text += f"\n[{name}]\n" + toml_text(value, f"{name}.")
    return text


def _toml_value(value: Any) -> str:  # noqa: ANN401 - a TOML value is one of six types
    """One value; JSON's strings, numbers, booleans and lists are TOML's."""
    return json.dumps(value, ensure_ascii=False)
