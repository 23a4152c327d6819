"""Training of the segmentation network on pairs, recombined images and phantoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.contracts import FloatImage
from worker.exam.pixels import OUTSIDE
from worker.faps.predictor import lesion_probability
from worker.faps.refinenet import RefineNet
from worker.training import cdd_cesm
from worker.training.augment import Strength, same_window, window
from worker.training.bundle import SEGMENTATION_NET
from worker.training.loop import Progress, Schedule, optimise
from worker.training.sample import Sample, blanked
from worker.training.synthetic import PHANTOM_SEEDS, phantoms

# Share of each kind of view in a batch. Views without a lesion are what teaches silence.
SHARES = {
    "phantom with lesion": 0.35,
    "phantom without": 0.2,
    "public with lesion": 0.3,
    "public without": 0.15,
}
# The few pairs in full resolution are registered as real pairs are: each counts as this many.
FULL_RESOLUTION_WEIGHT = 12


@dataclass(frozen=True)
class Drawing:
    """How batches are drawn; ``window`` (rows, columns) in network pixels."""

    batch: int = 6  # small steps, many of them: what two cores can do
    window: tuple[int, int] = (288, 208)
    near_lesion: float = 0.7  # share of the windows of a positive view that are around its lesion
    no_low_energy: float = 0.3  # share of pairs shown without it, so that its absence tells nothing
    strength: Strength = field(default_factory=Strength)


def train_segmentation(
    data: Path | None,
    out: Path,
    *,
    hours: float,
    seed: int = 0,
    cache: Path | None = None,
    seeds: range = PHANTOM_SEEDS,
    start: Mapping[str, Tensor] | None = None,
    report: Progress = print,
) -> dict[str, Tensor]:
    """State dict of a segmentation network trained for ``hours``, also kept as ``out`` on the way.

    ``data`` is a CDD-CESM folder, None for phantoms alone; ``cache`` keeps prepared phantoms;
    ``start`` are weights to go on from.
    """
    samples = [*phantoms(seeds, cache)]
    if data is not None:
        samples += cdd_cesm.pairs(data, "train")
        samples += FULL_RESOLUTION_WEIGHT * [*cdd_cesm.full_resolution(data, "train")]
        samples += [s for s in cdd_cesm.recombined(data, "train") if s.lesion is not None]
    report(f"segmentation: {len(samples)} views, {sum(s.positive for s in samples)} with a lesion")
    torch.manual_seed(seed)
    network = RefineNet(**SEGMENTATION_NET)
    if start is not None:
        network.load_state_dict(start)
    schedule = Schedule(hours=hours, seed=seed)
    trained = fit(network, samples, schedule, Drawing(), report=report, keep=out)
    return trained.state_dict()


def fit(
    network: RefineNet,
    samples: Sequence[Sample],
    schedule: Schedule,
    drawing: Drawing,
    *,
    report: Progress,
    keep: Path | None = None,
) -> RefineNet:
    """``network`` trained on random windows of ``samples``."""
    groups = grouped(samples)

    def loss_of(current: RefineNet, rng: np.random.Generator) -> Tensor:
        images, masks = batch(groups, drawing, rng)
        return segmentation_loss(current(images), masks)

    return optimise(network, loss_of, schedule, report=report, keep=keep)


def segmentation_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy plus Dice with squared denominator (faps.md §1.2), half over the batch.

    The other half of the Dice term is the mean over lesions: a small one adds as much as a large
    one. ``logits`` (N, 1, h, w) of either head, ``masks`` (N, 1, H, W) of 0 and 1.
    """
    full = functional.interpolate(
        logits, size=masks.shape[-2:], mode="bilinear", align_corners=False
    )
    probability = torch.sigmoid(full)
    overlap = (probability * masks).sum((1, 2, 3))
    total = (probability**2).sum((1, 2, 3)) + masks.sum((1, 2, 3))
    whole = 1 - (2 * overlap.sum() + 1) / (total.sum() + 1)
    drawn = masks.sum((1, 2, 3)) > 0
    each = (1 - (2 * overlap + 1) / (total + 1))[drawn]
    single = each.mean() if each.numel() else whole
    return functional.binary_cross_entropy_with_logits(full, masks) + 0.5 * whole + 0.5 * single


def grouped(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Samples by kind; kinds that do not occur are left out."""
    groups: dict[str, list[Sample]] = {name: [] for name in SHARES}
    for sample in samples:
        place = "phantom" if sample.domain == "phantom" else "public"
        groups[f"{place} {'with lesion' if sample.positive else 'without'}"].append(sample)
    return {name: found for name, found in groups.items() if found}


def batch(
    groups: dict[str, list[Sample]], drawing: Drawing, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Images (N, 2, h, w) with masks (N, 1, h, w)."""
    names = list(groups)
    shares = np.array([SHARES[name] for name in names])
    drawn = []
    for name in rng.choice(names, size=drawing.batch, p=shares / shares.sum()):
        sample = groups[name][int(rng.integers(len(groups[name])))]
        drawn.append(_one(sample, drawing, rng))
    images = torch.stack([image for image, _ in drawn])
    masks = torch.stack([mask for _, mask in drawn])
    return images.contiguous(memory_format=torch.channels_last), masks


def _one(sample: Sample, drawing: Drawing, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A random window (2, h, w) of one view with its mask (1, h, w)."""
    if sample.lesion is None:
        raise ValueError(f"{sample.name}: nobody drew its lesions; it cannot train a segmentation")
    image = sample.image.astype(np.float32)
    if sample.has_low_energy and rng.random() < drawing.no_low_energy:
        image = blanked(image, OUTSIDE)
    H, W = image.shape[-2:]
    h, w = drawing.window
    centre = np.array([rng.uniform(0.2, 0.8) * H, rng.uniform(0.3, 0.7) * W])
    if sample.positive and rng.random() < drawing.near_lesion:
        rows, columns = np.nonzero(sample.lesion)
        at = int(rng.integers(rows.size))
        centre = np.array([rows[at], columns[at]]) + rng.uniform(-0.4, 0.4, 2) * (h, w)
    inner = np.clip(centre, (0.2 * h, 0.2 * w), (max(H - 0.2 * h, 1), max(W - 0.2 * w, 1)))
    place = (float(inner[0]), float(inner[1]))
    turned, grid = window(image, place, (h, w), (h, w), rng, drawing.strength)
    return turned, same_window(sample.lesion, grid)


def probability_of(network: nn.Module, sample: Sample) -> FloatImage:
    """What ``network`` answers to a whole view: (H, W) in [0, 1]."""
    x = torch.from_numpy(sample.image.astype(np.float32))[None]
    with torch.inference_mode():
        logits = network(x.contiguous(memory_format=torch.channels_last))
        found = lesion_probability(logits, (x.shape[-2], x.shape[-1]))[0, 0].numpy()
    inside = sample.image.max(axis=0) > OUTSIDE
    return np.where(inside, found, np.float32(0)).astype(np.float32)
