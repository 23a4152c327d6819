"""Training of the classifier on crops around lesions, with the energies that each view has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from worker.contracts import FloatImage
from worker.faps.crop import CropRule, Square, square_around
from worker.faps.predictor import ENERGIES
from worker.faps.xception_ppm import FapsClassifier
from worker.training.augment import Strength, window
from worker.training.hardware import find_hardware
from worker.training.loop import Schedule, Watch, optimise
from worker.training.sample import Sample

# Where a view's lesion may be: its probability map (H, W).
Find = Callable[[Sample], FloatImage]


@dataclass(frozen=True)
class Crop:
    """One view of one lesion: where it is in its sample, what it is.

    Of a breast without a lesion it is the place that looks most like one. ``peak`` is the highest
    probability with which it was found, 1 where it was drawn.
    """

    sample: Sample
    square: Square
    malignant: bool
    peak: float = 1.0


@dataclass(frozen=True)
class Drawing:
    """How batches are drawn; ``size`` is the side of a crop in pixels.

    ``shares`` are of malignant, benign and empty crops: a false alarm of the segmentation must not
    be called malignant either.
    """

    size: int
    energies: tuple[str, ...]
    batch: int = 24
    shares: tuple[float, float, float] = (0.45, 0.35, 0.2)
    smoothing: float = 0.05  # of the labels: public ones are per image, not per region
    no_low_energy: float = 0.4  # share of crops shown without it, where both energies are seen
    public: float = 0.8  # share of crops from public images, where there are any
    shift: float = 0.12  # of the crop's side: the outline at hand is never exact
    strength: Strength = field(default_factory=lambda: Strength(degrees=35.0))


def train_classification(
    network: FapsClassifier,
    crops: Sequence[Crop],
    schedule: Schedule,
    drawing: Drawing,
    *,
    watch: Watch,
    keep: Path | None = None,
) -> FapsClassifier:
    """``network`` trained on single views: the mean over views has nothing of its own to learn."""
    groups = grouped(crops)
    counts = ", ".join(f"{len(found)} {name}" for name, found in groups.items())
    watch.say(f"classification: {counts}")

    hardware = find_hardware()

    def loss_of(current: FapsClassifier, rng: np.random.Generator) -> Tensor:
        images, present, labels = hardware.take(*batch(groups, drawing, rng))
        logits = current.logits(current.features(images, present))
        return functional.cross_entropy(logits, labels, label_smoothing=drawing.smoothing)

    return optimise(network, loss_of, schedule, watch=watch, keep=keep, hardware=hardware)


def lesion_crops(samples: Iterable[Sample], rule: CropRule) -> list[Crop]:
    """Crops around lesions that are drawn, of views that have one."""
    return [
        Crop(s, square_around(s.lesion, rule), s.malignant)
        for s in samples
        if s.lesion is not None and s.lesion.any() and s.malignant is not None
    ]


def found_crops(samples: Iterable[Sample], find: Find, rule: CropRule) -> list[Crop]:
    """Crops where ``find`` sees a lesion, or comes nearest to seeing one, whatever the class.

    Only malignant public images have masks: a crop around the mask would give the class away.
    """
    crops = []
    for sample in samples:
        probability = find(sample)
        square, peak = square_around(probability, rule), float(probability.max())
        crops.append(Crop(sample, square, bool(sample.malignant), peak))
    return crops


CLASSES = ("malignant", "benign", "empty")


def class_of(crop: Crop) -> str:
    """Its name in ``CLASSES``."""
    if crop.malignant:
        return "malignant"
    return "empty" if crop.sample.malignant is None else "benign"


def grouped(crops: Sequence[Crop]) -> dict[str, list[Crop]]:
    """Crops by source and class, so that neither is drawn by its number."""
    groups: dict[str, list[Crop]] = {}
    for crop in crops:
        source = "phantom" if crop.sample.domain == "phantom" else "public"
        groups.setdefault(f"{source} {class_of(crop)}", []).append(crop)
    return dict(sorted(groups.items()))


def batch(
    groups: dict[str, list[Crop]], drawing: Drawing, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Images (N, energies, S, S), which energies are there (N, energies), labels (N,)."""
    names = list(groups)
    weights = np.array([_share(name, drawing) for name in names])
    images, present, labels = [], [], []
    channels = [ENERGIES.index(name) for name in drawing.energies]
    for name in rng.choice(names, size=drawing.batch, p=weights / weights.sum()):
        crop = groups[name][int(rng.integers(len(groups[name])))]
        low = crop.sample.has_low_energy and rng.random() >= drawing.no_low_energy
        there = {"low_energy": low, "recombined": True}
        images.append(_one(crop, drawing, rng)[channels])
        present.append([float(there[energy]) for energy in drawing.energies])
        labels.append(int(crop.malignant))
    return torch.stack(images), torch.tensor(present), torch.tensor(labels)


def _share(group: str, drawing: Drawing) -> float:
    source, _, kind = group.partition(" ")
    of_source = drawing.public if source == "public" else 1 - drawing.public
    return of_source * drawing.shares[CLASSES.index(kind)]


def _one(crop: Crop, drawing: Drawing, rng: np.random.Generator) -> Tensor:
    """A random view (2, S, S) of one crop."""
    side = crop.square.side
    jitter = rng.uniform(-drawing.shift, drawing.shift, 2) * side
    centre = (crop.square.top + side / 2 + jitter[0], crop.square.left + side / 2 + jitter[1])
    image = crop.sample.image.astype(np.float32)
    size = (drawing.size, drawing.size)
    turned, _ = window(image, centre, (side, side), size, rng, drawing.strength)
    return turned
