"""Training of the segmentation network on pairs, recombined images and phantoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.contracts import FloatImage, Mask
from worker.exam.pixels import OUTSIDE
from worker.faps.predictor import lesion_probability, resized
from worker.faps.refinenet import RefineNet
from worker.training.augment import Strength, same_window, window
from worker.training.borrow import borrowed
from worker.training.hardware import find_hardware
from worker.training.loop import Schedule, Watch, optimise
from worker.training.sample import Sample, blanked
from worker.training.transplant import transplanted


class Kind(NamedTuple):
    """How often a kind of view is drawn, and with which low-energy image it is shown.

    ``own`` and ``borrowed`` are shares; in the rest the channel is empty.
    """

    share: float
    own: float
    borrowed: float


# Views without a lesion are what teaches silence. A public low-energy image shows that a breast is
# malignant by being there at all, so it is also taken away, and lent to others.
LENDS, RECEIVES = "pair with lesion", "public without lesion"
KINDS = {
    LENDS: Kind(0.33, own=0.5, borrowed=0.25),
    "recombined with lesion": Kind(0.2, own=0.0, borrowed=0.5),
    RECEIVES: Kind(0.33, own=0.5, borrowed=0.25),
    "phantom with lesion": Kind(0.08, own=0.7, borrowed=0.0),
    "phantom without lesion": Kind(0.06, own=0.7, borrowed=0.0),
}


@dataclass(frozen=True)
class Drawing:
    """How batches are drawn; ``size`` (rows, columns) is what the network is given.

    ``transplants`` is the share of views without a lesion that get one of another breast.
    """

    size: tuple[int, int]
    batch: int = 8
    transplants: float = 0.5
    shift: float = 0.12  # of the view's rows and columns
    strength: Strength = field(
        default_factory=lambda: Strength(
            scale=1.3, degrees=20.0, contrast=1.3, brightness=0.3, noise=0.15, shear=0.1
        )
    )


def train_segmentation(
    network: RefineNet,
    samples: Sequence[Sample],
    schedule: Schedule,
    drawing: Drawing,
    *,
    watch: Watch,
    keep: Path | None = None,
) -> RefineNet:
    """``network`` trained on whole views, each moved, turned, scaled and re-windowed by chance."""
    groups = grouped(samples)
    counts = ", ".join(f"{len(found)} {name}" for name, found in groups.items())
    watch.say(f"segmentation: {counts}")

    hardware = find_hardware()

    def loss_of(current: RefineNet, rng: np.random.Generator) -> Tensor:
        images, masks = hardware.take(*batch(groups, drawing, rng))
        return segmentation_loss(current(images), masks)

    return optimise(network, loss_of, schedule, watch=watch, keep=keep, hardware=hardware)


def segmentation_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy plus Dice with squared denominator (faps.md §1.2), half over the batch.

    The other half of the Dice term is the mean over lesions: a small one adds as much as a large
    one. ``logits`` (N, 1, h, w) of either head, ``masks`` (N, 1, H, W) of 0 and 1.
    """
    full = functional.interpolate(
        logits.float(), size=masks.shape[-2:], mode="bilinear", align_corners=False
    )
    probability = torch.sigmoid(full)
    overlap = (probability * masks).sum((1, 2, 3))
    total = (probability**2).sum((1, 2, 3)) + masks.sum((1, 2, 3))
    whole = 1 - (2 * overlap.sum() + 1) / (total.sum() + 1)
    drawn = masks.sum((1, 2, 3)) > 0
    each = (1 - (2 * overlap + 1) / (total + 1))[drawn]
    single = each.mean() if each.numel() else whole
    return functional.binary_cross_entropy_with_logits(full, masks) + 0.5 * whole + 0.5 * single


def kind_of(sample: Sample) -> str:
    """The kind of view that a sample is, by its name in ``KINDS``."""
    place = "phantom" if sample.domain == "phantom" else "public"
    if not sample.positive:
        return f"{place} without lesion"
    if place == "phantom":
        return "phantom with lesion"
    return "pair with lesion" if sample.has_low_energy else "recombined with lesion"


def grouped(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Samples by kind; kinds that do not occur are left out.

    Raises
    ------
    ValueError
        When nobody drew a view's lesions.
    """
    groups: dict[str, list[Sample]] = {name: [] for name in KINDS}
    for sample in samples:
        if sample.lesion is None:
            raise ValueError(
                f"{sample.name}: nobody drew its lesions; it cannot train a segmentation"
            )
        groups[kind_of(sample)].append(sample)
    return {name: found for name, found in groups.items() if found}


def batch(
    groups: Mapping[str, Sequence[Sample]], drawing: Drawing, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Images (N, 2, h, w) with masks (N, 1, h, w)."""
    names = list(groups)
    shares = np.array([KINDS[name].share for name in names])
    drawn = []
    for name in rng.choice(names, size=drawing.batch, p=shares / shares.sum()):
        sample = groups[name][int(rng.integers(len(groups[name])))]
        image = shown(sample, KINDS[name], groups, rng)
        assert sample.lesion is not None  # noqa: S101 - ``grouped`` lets no other pass
        lesion = sample.lesion
        if name == RECEIVES and rng.random() < drawing.transplants:
            image, lesion = _with_transplant(image, lesion, groups, rng)
        drawn.append(_moved(image, lesion, drawing, rng))
    images = torch.stack([image for image, _ in drawn])
    masks = torch.stack([mask for _, mask in drawn])
    return images.contiguous(memory_format=torch.channels_last), masks


def shown(
    sample: Sample,
    kind: Kind,
    groups: Mapping[str, Sequence[Sample]],
    rng: np.random.Generator,
) -> FloatImage:
    """The view (2, H, W) with its own low-energy image, a stranger's, or none."""
    image = sample.image.astype(np.float32)
    chance = rng.random()
    if chance < kind.own and sample.has_low_energy:
        return image
    donors = groups.get(LENDS, ())
    if chance < kind.own + kind.borrowed and donors:
        donor = donors[int(rng.integers(len(donors)))]
        low_energy = borrowed(image[1], donor.image[0].astype(np.float32))
        return np.stack([low_energy, image[1]])
    return blanked(image, OUTSIDE)


def _with_transplant(
    image: FloatImage,
    lesion: Mask,
    groups: Mapping[str, Sequence[Sample]],
    rng: np.random.Generator,
) -> tuple[FloatImage, Mask]:
    """The view with a lesion of another breast, where one fits."""
    donors = groups.get(LENDS, ())
    if not donors:
        return image, lesion
    donor = donors[int(rng.integers(len(donors)))]
    assert donor.lesion is not None  # noqa: S101 - see ``grouped``
    found = transplanted(image, donor.image.astype(np.float32), donor.lesion, rng)
    return found or (image, lesion)


def _moved(
    image: FloatImage, lesion: Mask, drawing: Drawing, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """A view as ``drawing.size`` pixels after a chance movement, with its mask (1, h, w)."""
    H, W = image.shape[-2:]
    aside = rng.uniform(-drawing.shift, drawing.shift, 2) * (H, W)
    centre = (H / 2 + aside[0], W / 2 + aside[1])
    span = (float(H), float(W))
    turned, grid = window(image, centre, span, drawing.size, rng, drawing.strength)
    return turned, same_window(lesion, grid)


def probability_of(network: nn.Module, sample: Sample, size: tuple[int, int]) -> FloatImage:
    """What ``network`` answers to a view that it is given as ``size`` pixels: (H, W) in [0, 1]."""
    x = torch.from_numpy(sample.image.astype(np.float32))[None]
    with torch.inference_mode():
        logits = network(resized(x, size))
        found = lesion_probability(logits, (x.shape[-2], x.shape[-1]))[0, 0].numpy()
    inside = sample.image.max(axis=0) > OUTSIDE
    return np.where(inside, found, np.float32(0)).astype(np.float32)
