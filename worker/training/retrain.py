"""A new bundle from an old one, one of its networks trained anew."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dicom_node.domain.identifiers import derive_id
from dicom_node.errors import BundleError
from worker.bundle import CLASSIFICATION, NETWORKS, SEGMENTATION, default_bundle
from worker.contracts import FloatImage
from worker.faps.crop import CropRule
from worker.faps.ensemble import FapsClassifiers, RefineNets, Segmenter
from worker.faps.predictor import ENERGIES, Faps
from worker.faps.refinenet import RefineNet
from worker.faps.xception_ppm import FapsClassifier
from worker.load import load
from worker.training import classification, segmentation
from worker.training.bundle import CDD_CESM, write_bundle
from worker.training.classification import Crop, found_crops, lesion_crops
from worker.training.datasets import views
from worker.training.folds import Part, parts
from worker.training.loop import Schedule, Watch
from worker.training.measure import Answered, Scored, choose_gate, graded, platt, scored
from worker.training.public import sample_of
from worker.training.sample import Sample
from worker.training.segmentation import probability_of
from worker.training.synthetic import (
    LESION_SEEDS,
    PHANTOM_SEEDS,
    TEST_SEEDS,
    lesions,
    phantoms,
)

Kind = Literal["segmentation", "classification"]
State = dict[str, Tensor]


@dataclass(frozen=True)
class Order:
    """What is to be trained: ``hours`` over all networks, ``folds`` as ``folds.parts`` has it.

    ``base`` gives the other network and the architecture; ``warm`` starts from its weights too.
    ``work`` keeps networks of folds and what a run that is broken off needs to go on; ``cache``
    keeps prepared phantoms.
    """

    data: Path | None
    out: Path
    hours: float
    folds: int = 0
    seed: int = 0
    base: Path | None = None
    warm: bool = False
    work: Path | None = None
    cache: Path | None = None

    @property
    def kept(self) -> Path:
        """The work folder."""
        return self.work or self.out.with_name(f"{self.out.name}.work")


def retrain(kind: Kind, order: Order, watch: Watch | None = None) -> None:
    """Train ``kind`` and write the bundle ``order.out``; the other network comes from its base.

    Thresholds or calibration are fixed on patients that the network asked had not seen, figures are
    measured on such and written into the card.

    Raises
    ------
    BundleError
        When folds are asked for on top of weights that have seen their patients.
    """
    watch = watch or Watch()
    start = order.base or (order.out if order.out.exists() else default_bundle())
    old = load(start, allow_unsigned=True)
    card = copy.deepcopy(dict(old.card.raw))
    if order.warm and order.folds and "CDD-CESM" in str(card["training"].get(kind, "")):
        raise BundleError(
            f"bundle {start}: its {kind} network has seen the patients that the folds would hold "
            "out; train from nothing, or without folds"
        )
    states = {SEGMENTATION: old.segmentation.state_dict()}
    states[CLASSIFICATION] = old.classification.state_dict()
    order.kept.mkdir(parents=True, exist_ok=True)
    if kind == SEGMENTATION:
        states[kind] = _segmentation(card, old, order, watch)
    else:
        states[kind] = _classification(card, old, order, watch)
    _describe(card, kind, order)
    write_bundle(order.out, card, {name: states[name] for name in NETWORKS})


def _segmentation(card: dict[str, Any], old: Faps, order: Order, watch: Watch) -> State:
    public = _public(order.data)
    drawn = [sample for sample in public if sample.lesion is not None]
    synthetic = [*phantoms(PHANTOM_SEEDS, order.cache)]
    drawing = segmentation.Drawing(size=old.size)
    tested: list[tuple[Sample, FloatImage]] = []
    made: list[RefineNet] = []
    for part in (todo := parts(order.folds)):
        watch.say(f"network {part.name}")
        network = segmentation.train_segmentation(
            _start(old, card[SEGMENTATION], order),
            [*synthetic, *(s for s in drawn if part.trains(s.group))],
            Schedule(hours=order.hours / len(todo), seed=order.seed),
            drawing,
            watch=watch,
            keep=order.kept / f"{SEGMENTATION}.{part.name}.pt",
        )
        torch.save(network.state_dict(), _weights(order, part))
        made.append(network)
        tested += _answers(network, [s for s in drawn if part.tests(s.group)], old.size)
    kept = RefineNets(made) if order.folds else made[-1]
    checks = {"phantom": _answers(kept, [*phantoms(TEST_SEEDS, order.cache)], old.size)}
    card["thresholds"] = choose_gate([tested or checks["phantom"]], card["thresholds"])
    watch.say(f"gate: {card['thresholds']}")
    checks |= _by_source(tested)
    figures = {name: graded(part, card["thresholds"]).as_table() for name, part in checks.items()}
    _record(card, SEGMENTATION, figures, order, watch)
    return kept.state_dict()


def _classification(card: dict[str, Any], old: Faps, order: Order, watch: Watch) -> State:
    public = [s for s in _public(order.data) if s.malignant is not None or s.lesion is not None]
    synthetic = [*phantoms(PHANTOM_SEEDS, order.cache), *lesions(LESION_SEEDS, order.cache)]
    rule, energies = CropRule(**card["input"]["crop"]), _energies(public)
    options = {k: v for k, v in card[CLASSIFICATION].items() if k not in {"energies", "members"}}
    drawing = classification.Drawing(size=rule.size, energies=energies)
    tested: list[Scored] = []
    made: list[FapsClassifier] = []
    for part in (todo := parts(order.folds)):
        watch.say(f"network {part.name}")
        finder = _finder(old, card[SEGMENTATION], order, part)
        crops = _found(finder, [s for s in public if part.trains(s.group)], old.size, rule)
        torch.manual_seed(order.seed)
        network = classification.train_classification(
            FapsClassifier(energies=len(energies), **options),
            [*lesion_crops(synthetic, rule), *crops],
            Schedule(hours=order.hours / len(todo), seed=order.seed, rate=1.5e-3, average=0.99),
            drawing,
            watch=watch,
            keep=order.kept / f"{CLASSIFICATION}.{part.name}.pt",
        )
        made.append(network)
        unseen = _found(finder, [s for s in public if part.tests(s.group)], old.size, rule)
        if unseen:
            tested.append(scored(network, unseen, rule, energies))
    kept = FapsClassifiers(made) if order.folds else made[-1]
    check = lesion_crops(phantoms(TEST_SEEDS, order.cache), rule)
    checks = {"phantom": scored(kept, check, rule, energies)}
    lesion = _joined(tested).lesions if tested else checks["phantom"]
    calibration = platt(lesion.logits, lesion.malignant)
    card["calibration"] = {k: round(v, 4) for k, v in vars(calibration).items()}
    watch.say(f"calibration: {card['calibration']}")
    if tested:
        checks["cdd_cesm"] = _joined(tested)
    figures = {name: found.as_table(calibration) for name, found in checks.items()}
    card[CLASSIFICATION]["energies"] = list(energies)
    _record(card, CLASSIFICATION, figures, order, watch)
    return kept.state_dict()


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
    if order.folds:
        card[kind]["members"] = order.folds


def _public(data: Path | None) -> list[Sample]:
    """Every public view with a breast in it; none without a folder."""
    if data is None:
        return []
    return [sample for view in views(data) if (sample := sample_of(view)) is not None]


def _start(old: Faps, options: Mapping[str, Any], order: Order) -> RefineNet:
    """A network to train: with the base's weights, or with none."""
    if order.warm:
        return copy.deepcopy(_single(old)).requires_grad_(requires_grad=True)
    torch.manual_seed(order.seed)
    return RefineNet(**{key: value for key, value in options.items() if key != "members"})


def _single(old: Faps) -> RefineNet:
    """The base's segmentation network, of which there must be one."""
    if isinstance(old.segmentation, RefineNet):
        return old.segmentation
    raise BundleError(
        f"bundle {old.card.name}: several networks answer together in it; training can go on from "
        "one alone, start from nothing"
    )


def _finder(old: Faps, options: Mapping[str, Any], order: Order, part: Part) -> Segmenter:
    """What finds lesions for a part's classifier: a network that has not seen its patients."""
    if order.data is None:
        return old.segmentation
    kept = _weights(order, part)
    if not kept.exists():
        raise BundleError(
            f"{kept}: is missing; train the segmentation first, with the same folds and work folder"
        )
    finder = RefineNet(**{key: value for key, value in options.items() if key != "members"})
    finder.load_state_dict(torch.load(kept, weights_only=True))
    return finder.eval()


def _weights(order: Order, part: Part) -> Path:
    """Where a part's segmentation network lies for the classification's training."""
    return order.kept / f"{SEGMENTATION}.{part.name}.weights.pt"


def _answers(
    network: nn.Module, samples: Sequence[Sample], size: tuple[int, int]
) -> list[tuple[Sample, FloatImage]]:
    """Each view with the network's probability."""
    return [(sample, probability_of(network, sample, size)) for sample in samples]


def _by_source(answered: Answered) -> dict[str, list[tuple[Sample, FloatImage]]]:
    sources: dict[str, list[tuple[Sample, FloatImage]]] = {}
    for sample, probability in answered:
        sources.setdefault(f"cdd_cesm_{sample.domain}", []).append((sample, probability))
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
    benign = [s for s in public if s.malignant is False and s.domain == "tcia"]
    return ENERGIES if not public or any(s.has_low_energy for s in benign) else ENERGIES[1:]


def _joined(found: Sequence[Scored]) -> Scored:
    logits = [part.logits for part in found]
    classes = [name for part in found for name in part.classes]
    return Scored(torch.cat([torch.from_numpy(x) for x in logits]).numpy(), tuple(classes))


def _describe(card: dict[str, Any], kind: Kind, order: Order) -> None:
    """Say in ``card`` what ``kind`` was trained on, under a new identity."""
    source = "CDD-CESM and physics phantoms" if order.data else "physics phantoms alone"
    card["training"][kind] = {
        "data": source,
        "hours": order.hours,
        "seed": order.seed,
        "phantom_seeds": [PHANTOM_SEEDS.start, PHANTOM_SEEDS.stop],
        "split": f"by patient, CRC-32 of the name: {_scheme(order.folds)}",
    }
    card["training"]["attribution"] = CDD_CESM
    card["statement"] = f"Trained on {source}; not clinically validated."
    identity = (kind, str(order.seed), str(order.hours), str(order.folds))
    card["uuid"] = derive_id("bundle", card["name"], card["version"], *identity)


def _scheme(folds: int) -> str:
    if folds:
        return (
            f"{folds} folds; figures and operating points are of each network alone on the fold "
            "that it has not seen, in this bundle they answer together"
        )
    return (
        "two tenths held out; figures and operating points are of a network trained alike that had "
        "not seen them, the one in this bundle has seen everybody"
    )
