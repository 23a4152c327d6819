"""The networks of every part trained, asked about whom they have not seen, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from worker.bundle import CLASSIFICATION, SEGMENTATION
from worker.contracts import FloatImage
from worker.faps.crop import CropRule
from worker.faps.ensemble import FapsClassifiers, RefineNets
from worker.faps.familiar import Familiar, learnt
from worker.faps.predictor import ENERGIES, Faps
from worker.faps.refinenet import RefineNet
from worker.faps.xception_ppm import FapsClassifier
from worker.training import classification, segmentation
from worker.training.beginnings import (
    Kind,
    classifier,
    finder,
    keep,
    public_samples,
    refinenet,
    schedule_of,
    synthetic,
    unseeing,
    weighted,
)
from worker.training.classification import Crop, found_crops, lesion_crops
from worker.training.loop import Watch
from worker.training.measure import (
    Answered,
    Scored,
    birads_limits,
    choose_gate,
    features_of,
    graded,
    platt,
    scored,
)
from worker.training.order import Order
from worker.training.sample import Sample
from worker.training.segmentation import probability_of
from worker.training.synthetic import phantoms

State = dict[str, Tensor]


def segmentation_round(
    card: dict[str, Any], old: Faps, model: Faps, order: Order, watch: Watch
) -> State:
    """Train segmentations like ``model``'s; the state dict to ship, with those of ``old`` beside.

    Thresholds and figures are put into ``card``, chosen and measured on the patients that the
    networks asked had not seen.
    """
    drawn = [sample for sample in public_samples(order.data) if sample.lesion is not None]
    phantom = synthetic(order)
    tested: list[tuple[Sample, FloatImage]] = []
    made: list[RefineNet] = []
    for part in order.parts:
        watch.say(f"network {part.name}")
        network = segmentation.train_segmentation(
            refinenet(model, order),
            [*phantom, *weighted([s for s in drawn if part.trains(s.group)])],
            schedule_of(order, SEGMENTATION),
            segmentation.Drawing(size=old.size),
            watch=watch,
            keep=order.state_of(SEGMENTATION, part),
        )
        keep(network, SEGMENTATION, order, part)
        made.append(network)
        asked = RefineNets([*(unseeing(old, order, part) if order.beside else []), network])
        tested += _answers(asked, [s for s in drawn if part.tests(s.group)], old.size)
    kept = RefineNets([*_beside(old, order), *made]) if order.data and order.folds else made[-1]
    checks = {}
    if not tested or not order.synthetic:
        checks["phantom"] = _answers(kept, [*phantoms(order.test_seeds, order.cache)], old.size)
    card["thresholds"] = choose_gate([tested or checks["phantom"]], card["thresholds"])
    watch.say(f"gate: {card['thresholds']}")
    checks |= _by_source(tested)
    figures = {name: graded(part, card["thresholds"]).as_table() for name, part in checks.items()}
    _record(card, SEGMENTATION, figures, watch)
    return kept.state_dict()


def classification_round(
    card: dict[str, Any], old: Faps, order: Order, watch: Watch
) -> tuple[State, Familiar]:
    """Train the classifier; the state dict to ship, and what is familiar to it.

    Calibration, limits and figures are put into ``card``.

    Lesions are cropped where segmentation networks find them that have not seen the patient.
    """
    every = public_samples(order.data)
    public = [s for s in every if s.malignant is not None or s.lesion is not None]
    phantom = synthetic(order, more_lesions=True)
    rule, energies = CropRule(**card["input"]["crop"]), _energies(public)
    drawing = classification.Drawing(size=rule.size, energies=energies)
    asked: list[tuple[FapsClassifier, list[Crop]]] = []
    for part in order.parts:
        watch.say(f"network {part.name}")
        find = finder(old, order, part)
        crops = _found(find, [s for s in public if part.trains(s.group)], old.size, rule)
        shown = [*lesion_crops(phantom, rule), *crops]
        network = classification.train_classification(
            classifier(old, len(energies), order, find),
            shown,
            schedule_of(order, CLASSIFICATION, average=0.99),
            drawing,
            watch=watch,
            keep=order.state_of(CLASSIFICATION, part),
        )
        keep(network, CLASSIFICATION, order, part)
        unseen = _found(find, [s for s in public if part.tests(s.group)], old.size, rule)
        asked.append((network, unseen))
    made = [network for network, _ in asked]
    kept = FapsClassifiers(made) if order.data and order.folds else made[-1]
    checks = _scores(asked, rule, energies, origin="phantom" if order.synthetic else "cdd_cesm")
    if not checks or not order.synthetic:
        check = [s for s in phantoms(order.test_seeds, order.cache) if s.positive]
        checks["phantom"] = scored(kept, _found(find, check, old.size, rule), rule, energies)
    card[CLASSIFICATION]["energies"] = list(energies)
    _calibrate(card, checks, watch)
    familiar, limit = learnt([features_of(kept, crop, rule, energies) for crop in shown])
    card["thresholds"]["strangeness"] = round(limit, 2)
    return kept.state_dict(), familiar


def _scores(
    asked: Sequence[tuple[FapsClassifier, list[Crop]]],
    rule: CropRule,
    energies: Sequence[str],
    origin: str,
) -> dict[str, Scored]:
    """Each network's answers on whom it has not seen, by breast and by image."""
    tested = [(network, unseen) for network, unseen in asked if unseen]
    if not tested:
        return {}
    breasts = [scored(network, unseen, rule, energies) for network, unseen in tested]
    images = [scored(network, unseen, rule, energies, by_image=True) for network, unseen in tested]
    return {origin: _joined(breasts), f"{origin}_images": _joined(images)}


def _calibrate(card: dict[str, Any], checks: Mapping[str, Scored], watch: Watch) -> None:
    """Calibration and limits by the breasts that come first in ``checks``; figures of all."""
    lesion = next(iter(checks.values())).lesions
    calibration = platt(lesion)
    card["thresholds"] |= birads_limits(lesion, calibration)
    card["calibration"] = {k: round(v, 4) for k, v in vars(calibration).items()}
    watch.say(f"calibration: {card['calibration']}")
    figures = {name: found.as_table(calibration) for name, found in checks.items()}
    _record(card, CLASSIFICATION, figures, watch)


def _record(
    card: dict[str, Any], kind: Kind, figures: Mapping[str, Mapping[str, Any]], watch: Watch
) -> None:
    """Figures by source."""
    for name, table in figures.items():
        watch.say(f"{kind}, {name}: {table}")
    card["measured"][kind] = dict(figures)


def _beside(old: Faps, order: Order) -> list[RefineNet]:
    """The networks that answer together with the new ones."""
    if order.beside is None or not isinstance(old.segmentation, RefineNets):
        return []
    return old.segmentation.networks


def _answers(
    network: nn.Module, samples: Sequence[Sample], size: tuple[int, int]
) -> list[tuple[Sample, FloatImage]]:
    """Each view with the network's probability."""
    return [(sample, probability_of(network, sample, size)) for sample in samples]


def _by_source(answered: Answered) -> dict[str, list[tuple[Sample, FloatImage]]]:
    sources: dict[str, list[tuple[Sample, FloatImage]]] = {}
    for sample, probability in answered:
        name = sample.domain if sample.domain == "phantom" else f"cdd_cesm_{sample.domain}"
        sources.setdefault(name, []).append((sample, probability))
    return sources


def _found(
    finder: nn.Module, samples: Sequence[Sample], size: tuple[int, int], rule: CropRule
) -> list[Crop]:
    """Crops where ``finder`` sees a lesion, of recombined images seen for themselves.

    Malignant pairs are left out: benign ones do not exist in that folder.
    """
    single = [s for s in samples if s.domain != "pairs"]
    return found_crops(single, lambda sample: probability_of(finder, sample, size), rule)


def _energies(public: Sequence[Sample]) -> tuple[str, ...]:
    """Both energies where benign low-energy images exist, else the recombined alone."""
    benign = [s for s in public if s.malignant is False and s.domain in {"tcia", "phantom"}]
    return ENERGIES if not public or any(s.has_low_energy for s in benign) else ENERGIES[1:]


def _joined(found: Sequence[Scored]) -> Scored:
    return Scored(
        np.concatenate([part.logits for part in found]),
        np.concatenate([part.evidence for part in found]),
        tuple(name for part in found for name in part.classes),
    )
