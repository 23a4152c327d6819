"""The networks of every part trained, asked about whom they have not seen, put together."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from dicom_node.errors import BundleError
from worker.bundle import CLASSIFICATION, SEGMENTATION
from worker.contracts import FloatImage
from worker.evaluation.plots import loss_plot
from worker.faps.crop import CropRule
from worker.faps.ensemble import FapsClassifiers, RefineNets, Segmenter
from worker.faps.familiar import Familiar, learnt
from worker.faps.predictor import ENERGIES, Faps
from worker.faps.refinenet import RefineNet
from worker.faps.xception_ppm import FapsClassifier
from worker.training import classification, segmentation
from worker.training.classification import Crop, found_crops, lesion_crops
from worker.training.datasets import views
from worker.training.folds import Part
from worker.training.hardware import find_hardware
from worker.training.loop import Schedule, Watch
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
from worker.training.public import sample_of
from worker.training.sample import Sample
from worker.training.segmentation import probability_of
from worker.training.synthetic import lesions, phantoms

Kind = Literal["segmentation", "classification"]
State = dict[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)
REGISTERED_WEIGHT = 8
# Learning rates: from nothing, and from weights that have learnt something already.
RATES = {SEGMENTATION: (2e-3, 1e-3), CLASSIFICATION: (1.5e-3, 5e-4)}


def segmentation_round(card: dict[str, Any], old: Faps, order: Order, watch: Watch) -> State:
    """Train the segmentation; the state dict to ship, thresholds and figures put into ``card``.

    Thresholds are chosen on the patients that the networks asked had not seen.
    """
    public = _public(order.data)
    drawn = [sample for sample in public if sample.lesion is not None]
    synthetic = _synthetic(order)
    drawing = segmentation.Drawing(size=old.size)
    tested: list[tuple[Sample, FloatImage]] = []
    made: list[RefineNet] = []
    for part in order.parts:
        watch.say(f"network {part.name}")
        network = segmentation.train_segmentation(
            _start(old, card[SEGMENTATION], order),
            [*synthetic, *_weighted([s for s in drawn if part.trains(s.group)])],
            _schedule(order, SEGMENTATION),
            drawing,
            watch=watch,
            keep=order.state_of(SEGMENTATION, part),
        )
        _keep(network, SEGMENTATION, order, part)
        made.append(network)
        tested += _answers(network, [s for s in drawn if part.tests(s.group)], old.size)
    kept = RefineNets(made) if order.data and order.folds else made[-1]
    checks = {}
    if not tested or not order.synthetic:
        checks["phantom"] = _answers(kept, [*phantoms(order.test_seeds, order.cache)], old.size)
    card["thresholds"] = choose_gate([tested or checks["phantom"]], card["thresholds"])
    watch.say(f"gate: {card['thresholds']}")
    checks |= _by_source(tested)
    figures = {name: graded(part, card["thresholds"]).as_table() for name, part in checks.items()}
    _record(card, SEGMENTATION, figures, order, watch)
    return kept.state_dict()


def classification_round(
    card: dict[str, Any], old: Faps, order: Order, watch: Watch
) -> tuple[State, Familiar]:
    """Train the classifier; the state dict to ship, and what is familiar to it.

    Calibration, limits and figures are put into ``card``.

    Lesions are cropped where a segmentation network finds them that has not seen the patient.
    """
    public = [s for s in _public(order.data) if s.malignant is not None or s.lesion is not None]
    synthetic = _synthetic(order, more_lesions=True)
    rule, energies = CropRule(**card["input"]["crop"]), _energies(public)
    options = {k: v for k, v in card[CLASSIFICATION].items() if k not in {"energies", "members"}}
    drawing = classification.Drawing(size=rule.size, energies=energies)
    breasts: list[Scored] = []
    images: list[Scored] = []
    made: list[FapsClassifier] = []
    for part in order.parts:
        watch.say(f"network {part.name}")
        finder = _finder(old, card[SEGMENTATION], order, part)
        crops = _found(finder, [s for s in public if part.trains(s.group)], old.size, rule)
        shown = [*lesion_crops(synthetic, rule), *crops]
        network = classification.train_classification(
            _classifier(old, options, len(energies), order),
            shown,
            _schedule(order, CLASSIFICATION, average=0.99),
            drawing,
            watch=watch,
            keep=order.state_of(CLASSIFICATION, part),
        )
        _keep(network, CLASSIFICATION, order, part)
        made.append(network)
        unseen = _found(finder, [s for s in public if part.tests(s.group)], old.size, rule)
        if unseen:
            breasts.append(scored(network, unseen, rule, energies))
            images.append(scored(network, unseen, rule, energies, by_image=True))
    kept = FapsClassifiers(made) if order.data and order.folds else made[-1]
    checks = {}
    if not breasts or not order.synthetic:
        check = [s for s in phantoms(order.test_seeds, order.cache) if s.positive]
        found = _found(finder, check, old.size, rule)
        checks["phantom"] = scored(kept, found, rule, energies)
    if breasts:
        origin = "phantom" if order.synthetic else "cdd_cesm"
        checks |= {origin: _joined(breasts), f"{origin}_images": _joined(images)}
    lesion = (_joined(breasts) if breasts else checks["phantom"]).lesions
    calibration = platt(lesion)
    card["thresholds"] |= birads_limits(lesion, calibration)
    card["calibration"] = {k: round(v, 4) for k, v in vars(calibration).items()}
    watch.say(f"calibration: {card['calibration']}")
    figures = {name: found.as_table(calibration) for name, found in checks.items()}
    card[CLASSIFICATION]["energies"] = list(energies)
    _record(card, CLASSIFICATION, figures, order, watch)
    familiar, limit = learnt([features_of(kept, crop, rule, energies) for crop in shown])
    card["thresholds"]["strangeness"] = round(limit, 2)
    return kept.state_dict(), familiar


def _record(
    card: dict[str, Any],
    kind: Kind,
    figures: Mapping[str, Mapping[str, Any]],
    order: Order,
    watch: Watch,
) -> None:
    """Figures by source, and how many networks they are of."""
    for name, table in figures.items():
        watch.say(f"{kind}, {name}: {table}")
    card["measured"][kind] = dict(figures)
    card[kind].pop("members", None)
    if order.data and order.folds:
        card[kind]["members"] = order.folds


def _schedule(order: Order, kind: Kind, average: float = 0.995) -> Schedule:
    """Each part's share of the time."""
    rate = RATES[kind][order.warm]
    hours = order.hours / len(order.parts)
    return Schedule(hours=hours, rate=rate, average=average, seed=order.seed)


def _weighted(samples: Sequence[Sample]) -> list[Sample]:
    """The few pairs in published size are registered, as a hospital's are: each counts as many."""
    registered = [sample for sample in samples if sample.domain == "fullres"]
    return [*samples, *((REGISTERED_WEIGHT - 1) * registered)]


def _synthetic(order: Order, *, more_lesions: bool = False) -> list[Sample]:
    """Phantoms to learn from beside the data; none where the data are phantoms themselves."""
    if order.data is not None and order.synthetic:
        return []
    more = lesions(order.lesion_seeds, order.cache) if more_lesions else ()
    return [*phantoms(order.training_seeds, order.cache), *more]


def _public(data: Path | None) -> list[Sample]:
    """Every public view with a breast in it; none without a folder."""
    if data is None:
        return []
    return [sample for view in views(data) if (sample := sample_of(view)) is not None]


def _start(old: Faps, options: Mapping[str, Any], order: Order) -> RefineNet:
    """A network to train: with the base's weights, or with none."""
    if order.warm:
        return copy.deepcopy(_alone(old, old.segmentation, RefineNet)).requires_grad_(
            requires_grad=True
        )
    torch.manual_seed(order.seed)
    return RefineNet(**{key: value for key, value in options.items() if key != "members"})


def _classifier(
    old: Faps, options: Mapping[str, Any], energies: int, order: Order
) -> FapsClassifier:
    """A classifier to train: with the base's weights where they fit, or with none."""
    torch.manual_seed(order.seed)
    network = FapsClassifier(energies=energies, **options)
    if order.warm:
        base = {
            name: tensor
            for name, tensor in _alone(old, old.classification, FapsClassifier).state_dict().items()
            if energies == len(old.energies) or not name.startswith("fc.")
        }
        network.load_state_dict(base, strict=False)
    return network


def _alone(old: Faps, network: nn.Module, kind: type[Network]) -> Network:
    """The base's network, of which there must be one."""
    if isinstance(network, kind):
        return network
    raise BundleError(
        f"bundle {old.card.name}: several networks answer together in it; training can go on from "
        "one alone, start from nothing"
    )


def _finder(old: Faps, options: Mapping[str, Any], order: Order, part: Part) -> Segmenter:
    """What finds lesions for a part's classifier: a network that has not seen its patients."""
    if order.data is None:
        return old.segmentation
    kept = order.weights_of(SEGMENTATION, part)
    if not kept.exists():
        raise BundleError(
            f"{kept}: is missing; train the segmentation first, with the same folds and work folder"
        )
    finder = RefineNet(**{key: value for key, value in options.items() if key != "members"})
    finder.load_state_dict(torch.load(kept, weights_only=True))
    return finder.eval()


def _keep(network: nn.Module, kind: str, order: Order, part: Part) -> None:
    """Weights for the other kind's training, and a plot of the losses."""
    if not find_hardware().leads:
        return
    torch.save(network.state_dict(), order.weights_of(kind, part))
    losses = torch.load(order.state_of(kind, part), weights_only=True)["losses"]
    order.plot_of(kind, part).write_text(loss_plot(losses), encoding="utf-8")


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
