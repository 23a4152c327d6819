"""Training of the classifier on crops around lesions, with the energies that each view has."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.faps.crop import CropRule, Square, square_around
from worker.faps.xception_ppm import FapsClassifier
from worker.training import cdd_cesm
from worker.training.augment import Strength, window
from worker.training.bundle import CLASSIFICATION_NET, CROP
from worker.training.loop import Progress, Schedule, optimise
from worker.training.sample import Sample
from worker.training.segmentation import probability_of
from worker.training.synthetic import LESION_SEEDS, PHANTOM_SEEDS, lesions, phantoms

ENERGIES = 2


@dataclass(frozen=True)
class Crop:
    """One view of one lesion: where it is in its sample, what it is."""

    sample: Sample
    square: Square
    malignant: bool


@dataclass(frozen=True)
class Drawing:
    """How batches are drawn; ``size`` is the side of a crop in pixels."""

    batch: int = 24
    size: int = 160
    smoothing: float = 0.05  # of the labels: public ones are per image, not per region
    no_low_energy: float = 0.4  # share of phantom crops shown without it
    public: float = 0.5  # share of crops from public images, where there are any
    shift: float = 0.12  # of the crop's side: the outline at hand is never exact
    strength: Strength = field(default_factory=lambda: Strength(degrees=25.0))


def train_classification(
    data: Path | None,
    out: Path,
    *,
    hours: float,
    segmentation: nn.Module,
    seed: int = 0,
    cache: Path | None = None,
    seeds: range = PHANTOM_SEEDS,
    single: range = LESION_SEEDS,
    report: Progress = print,
) -> dict[str, Tensor]:
    """State dict of a classifier trained for ``hours``, also kept as ``out`` on the way.

    Phantom lesions are cropped at their truth. Public recombined images, of which only
    malignant ones have masks, are all cropped where ``segmentation`` sees a lesion, so that the
    crop does not give the class away. Both classes of public images come from one folder
    for the same reason.
    """
    drawn = itertools.chain(phantoms(seeds, cache), lesions(single, cache))
    crops = lesion_crops(drawn, crop_rule())
    if data is not None:
        crops += found_crops(cdd_cesm.recombined(data, "train"), segmentation, crop_rule())
    report(f"classification: {len(crops)} crops, {sum(c.malignant for c in crops)} malignant")
    torch.manual_seed(seed)
    schedule = Schedule(hours=hours, seed=seed, rate=1.5e-3, decay=5e-4, average=0.99)
    trained = fit(new_network(), crops, schedule, Drawing(), report=report, keep=out)
    return trained.state_dict()


def crop_rule() -> CropRule:
    """How this training crops, as its bundle says."""
    return CropRule(**CROP)


def new_network() -> FapsClassifier:
    """The first bundle's classifier, untrained."""
    options = {key: value for key, value in CLASSIFICATION_NET.items() if key != "energies"}
    return FapsClassifier(energies=ENERGIES, **options)


def lesion_crops(samples: Iterable[Sample], rule: CropRule) -> list[Crop]:
    """Crops around lesions that are drawn, of views that have one."""
    return [
        Crop(s, square_around(s.lesion, rule), s.malignant)
        for s in samples
        if s.lesion is not None and s.lesion.any() and s.malignant is not None
    ]


def found_crops(samples: Iterable[Sample], segmentation: nn.Module, rule: CropRule) -> list[Crop]:
    """Crops where ``segmentation`` sees a lesion, or comes nearest to seeing one."""
    return [
        Crop(s, square_around(probability_of(segmentation, s), rule), s.malignant)
        for s in samples
        if s.malignant is not None
    ]


def fit(
    network: FapsClassifier,
    crops: Sequence[Crop],
    schedule: Schedule,
    drawing: Drawing,
    *,
    report: Progress,
    keep: Path | None = None,
) -> FapsClassifier:
    """``network`` trained on single views: the mean over views has nothing of its own to learn."""
    groups = grouped(crops)

    def loss_of(current: FapsClassifier, rng: np.random.Generator) -> Tensor:
        images, present, labels = batch(groups, drawing, rng)
        logits = current.logits(current.features(images, present))
        return functional.cross_entropy(logits, labels, label_smoothing=drawing.smoothing)

    return optimise(network, loss_of, schedule, report=report, keep=keep)


def grouped(crops: Sequence[Crop]) -> dict[tuple[bool, bool], list[Crop]]:
    """Crops by (public, malignant), so that neither source nor class is drawn more often."""
    groups: dict[tuple[bool, bool], list[Crop]] = {}
    for crop in crops:
        groups.setdefault((crop.sample.domain != "phantom", crop.malignant), []).append(crop)
    return groups


def batch(
    groups: dict[tuple[bool, bool], list[Crop]], drawing: Drawing, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Images (N, 2, S, S), which energies are there (N, 2), labels (N,)."""
    sources = sorted({public for public, _ in groups})
    images, present, labels = [], [], []
    for _ in range(drawing.batch):
        public = bool(rng.random() < drawing.public) if len(sources) > 1 else sources[0]
        classes = [malignant for source, malignant in groups if source == public]
        found = groups[public, classes[int(rng.integers(len(classes)))]]
        crop = found[int(rng.integers(len(found)))]
        images.append(_one(crop, drawing, rng))
        low = crop.sample.has_low_energy and rng.random() >= drawing.no_low_energy
        present.append([float(low), 1.0])
        labels.append(int(crop.malignant))
    return torch.stack(images), torch.tensor(present), torch.tensor(labels)


def _one(crop: Crop, drawing: Drawing, rng: np.random.Generator) -> Tensor:
    """A random view (2, S, S) of one crop."""
    side = crop.square.side
    jitter = rng.uniform(-drawing.shift, drawing.shift, 2) * side
    centre = (crop.square.top + side / 2 + jitter[0], crop.square.left + side / 2 + jitter[1])
    image = crop.sample.image.astype(np.float32)
    size = (drawing.size, drawing.size)
    turned, _ = window(image, centre, (side, side), size, rng, drawing.strength)
    return turned
