"""A new bundle from an old one, one of its networks trained anew."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from dicom_node.domain.identifiers import derive_id
from worker.bundle import default_bundle
from worker.faps.predictor import Calibration, Faps
from worker.faps.xception_ppm import FapsClassifier
from worker.load import load
from worker.training import cdd_cesm
from worker.training.bundle import recombined_only, write_bundle
from worker.training.classification import (
    crop_rule,
    found_crops,
    new_network,
    train_classification,
)
from worker.training.loop import Progress
from worker.training.measure import (
    Answered,
    choose_gate,
    classification_figures,
    lesion_logits,
    platt,
    segmentation_figures,
)
from worker.training.sample import Sample
from worker.training.segmentation import probability_of, train_segmentation
from worker.training.synthetic import (
    PHANTOM_SEEDS,
    TEST_SEEDS,
    VALIDATION_SEEDS,
    phantoms,
)

Kind = Literal["segmentation", "classification"]
BOTH_ENERGIES = (0, 1)
RECOMBINED_ONLY = (1,)


def retrain(
    kind: Kind,
    data: Path | None,
    out: Path,
    *,
    hours: float,
    seed: int = 0,
    base: Path | None = None,
    cache: Path | None = None,
    report: Progress = print,
) -> None:
    """Train ``kind`` for ``hours`` and write the bundle ``out``; the rest comes from ``base``.

    ``data`` is a CDD-CESM folder, None for phantoms alone. Thresholds or calibration are fixed on
    validation patients and phantoms, figures are measured on test ones and written into the card.
    ``out`` may be ``base`` itself. ``cache`` keeps prepared phantoms between runs.
    """
    old = load(base or (out if out.exists() else default_bundle()), allow_unsigned=True)
    card = copy.deepcopy(dict(old.card.raw))
    states = {
        "segmentation": old.segmentation.state_dict(),
        "classification": old.classification.state_dict(),
    }
    out.mkdir(parents=True, exist_ok=True)
    kept = out / f"{kind}.part.pt"  # what a broken-off run leaves behind
    options: dict[str, Any] = {"hours": hours, "seed": seed, "cache": cache, "report": report}
    if kind == "segmentation":
        states[kind] = train_segmentation(data, kept, **options)
    else:
        states[kind] = train_classification(data, kept, segmentation=old.segmentation, **options)
    measured(kind, card, states[kind], old, data, cache, report)
    if kind == "classification":
        # Benign low-energy images exist on phantoms alone: what the network makes of real ones is
        # not known, so the bundle does not look at them.
        card["classification"]["energies"] = ["recombined"]
        states[kind] = recombined_only(states[kind])
    describe(card, kind, data, hours=hours, seed=seed)
    write_bundle(out, card, states)
    kept.unlink()


def measured(
    kind: Kind,
    card: dict[str, Any],
    state: dict[str, Tensor],
    old: Faps,
    data: Path | None,
    cache: Path | None,
    report: Progress,
) -> None:
    """Fix thresholds or calibration in ``card`` on validation views, add figures on test views."""
    if kind == "segmentation":
        network = copy.deepcopy(old.segmentation)
        network.load_state_dict(state)
        gate_and_figures(card, network.eval(), data, cache, report)
    else:
        classifier = new_network()
        classifier.load_state_dict(state)
        calibrate_and_figures(card, classifier.eval(), old.segmentation, data, cache, report)


def describe(
    card: dict[str, Any], kind: Kind, data: Path | None, *, hours: float, seed: int
) -> None:
    """Say in ``card`` what ``kind`` was trained on, under a new identity."""
    source = "CDD-CESM and physics phantoms" if data is not None else "physics phantoms alone"
    card["training"][kind] = {
        "data": source,
        "hours": hours,
        "seed": seed,
        "phantom_seeds": [PHANTOM_SEEDS.start, PHANTOM_SEEDS.stop],
        "split": "by patient: CRC-32 of the patient's name modulo 10; 0, 1 test, 2 validation",
    }
    card["statement"] = f"Trained briefly on {source}; not clinically validated."
    card["uuid"] = derive_id("bundle", card["name"], card["version"], kind, str(seed), str(hours))


def gate_and_figures(
    card: dict[str, Any],
    network: nn.Module,
    data: Path | None,
    cache: Path | None,
    report: Progress,
) -> None:
    """Gate from validation views, Dice with silence on test views, for each source."""
    parts = _answered(network, _sources("validation", data, cache))
    card["thresholds"] = choose_gate([*parts.values()], card["thresholds"])
    report(f"gate: {card['thresholds']}")
    figures: dict[str, Any] = {}
    for name, part in _answered(network, _sources("test", data, cache)).items():
        figures[name] = segmentation_figures(part, card["thresholds"]).as_table()
        report(f"segmentation, {name}: {figures[name]}")
    card["measured"]["segmentation"] = figures


def _sources(split: str, data: Path | None, cache: Path | None) -> dict[str, list[Sample]]:
    """Views whose lesions are known, by source."""
    seeds = VALIDATION_SEEDS if split == "validation" else TEST_SEEDS
    sources = {"phantom": [*phantoms(seeds, cache)]}
    if data is not None:
        normal = [s for s in cdd_cesm.recombined(data, split) if s.lesion is not None]
        sources["cdd_cesm"] = [*cdd_cesm.pairs(data, split), *normal]
    return sources


def _answered(network: nn.Module, sources: dict[str, list[Sample]]) -> dict[str, Answered]:
    """Each view with the network's probability."""
    return {
        name: [(sample, probability_of(network, sample)) for sample in samples]
        for name, samples in sources.items()
    }


def calibrate_and_figures(
    card: dict[str, Any],
    network: FapsClassifier,
    segmentation: nn.Module,
    data: Path | None,
    cache: Path | None,
    report: Progress,
) -> None:
    """Platt scaling on validation lesions, AUC on test lesions, by source and energies."""
    known = _lesions(network, segmentation, "validation", data, cache)
    # What the bundle will look at, see ``retrain``.
    used = [
        known[name]
        for name in ("phantom_recombined_only", "cdd_cesm_recombined_only")
        if name in known
    ]
    scores, labels = (np.concatenate(part) for part in zip(*used, strict=True))
    card["calibration"] = {k: round(v, 4) for k, v in vars(platt(scores, labels)).items()}
    report(f"calibration: {card['calibration']}")
    calibration = Calibration(**card["calibration"])
    figures: dict[str, Any] = {}
    for name, part in _lesions(network, segmentation, "test", data, cache).items():
        figures[name] = classification_figures(*part, calibration)
        report(f"classification, {name}: {figures[name]}")
    card["measured"]["classification"] = figures


def _lesions(
    network: FapsClassifier,
    segmentation: nn.Module,
    split: str,
    data: Path | None,
    cache: Path | None,
) -> dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]]:
    """Logit with label of each lesion, cropped where ``segmentation`` finds it, by source."""
    seeds = VALIDATION_SEEDS if split == "validation" else TEST_SEEDS
    rule = crop_rule()
    synthetic = found_crops(phantoms(seeds, cache), segmentation, rule)
    found = {
        "phantom": lesion_logits(network, synthetic, rule, BOTH_ENERGIES),
        "phantom_recombined_only": lesion_logits(network, synthetic, rule, RECOMBINED_ONLY),
    }
    if data is not None:
        crops = found_crops(cdd_cesm.recombined(data, split), segmentation, rule)
        logits = lesion_logits(network, crops, rule, RECOMBINED_ONLY)
        found["cdd_cesm_recombined_only"] = logits
    return found
