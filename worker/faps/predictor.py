"""FAPS as two questions: where is a lesion, is it malignant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from worker.contracts import FloatImage, ModelCard, PreparedView
from worker.faps.crop import CropRule, cut, square_around
from worker.faps.ensemble import Classifier, Segmenter
from worker.faps.familiar import Familiar
from worker.faps.heatmap import activation_map, on_grid

ENERGIES = ("low_energy", "recombined")  # order of the channels of PreparedView.image


SUREST = 1e-4  # a probability of the segmentation is not believed to be closer to 0 or 1


@dataclass(frozen=True)
class Calibration:
    """Platt scaling of both networks' log-odds, which gives a probability of malignancy.

    ``p = sigmoid(slope * (l_malignant - l_benign) + evidence * e + intercept)``, where ``e`` is
    ``log_odds`` of the segmentation's highest probability: how sure it is of a lesion says
    something of its kind.
    """

    slope: float = 1.0
    intercept: float = 0.0
    evidence: float = 0.0

    def probability(self, logits: Tensor, evidence: float = 0.0) -> float:
        """Logits (2,) benign, malignant → calibrated probability of malignancy."""
        z = self.slope * float(logits[1] - logits[0]) + self.evidence * evidence + self.intercept
        return 1 / (1 + math.exp(-max(min(z, 50.0), -50.0)))


def log_odds(peak: float) -> float:
    """Log-odds of a probability, between those of ``SUREST`` and its complement.

    >>> log_odds(0.5), round(log_odds(1.0), 2), round(log_odds(0.0), 2)
    (0.0, 9.21, -9.21)
    """
    p = min(max(peak, SUREST), 1 - SUREST)
    return math.log(p / (1 - p))


class Answer(NamedTuple):
    """What is said of one breast: over its views, where in each, and of each view for itself."""

    p_malignant: float
    heat_maps: tuple[FloatImage, ...]  # (H, W) in [0, 1] for each view
    by_view: tuple[float, ...]  # probability of malignancy
    strangeness: float = 0.0  # see ``Familiar``; 0 where the bundle does not know


@dataclass(frozen=True)
class Faps:
    """Two loaded networks with everything that fixes what they answer.

    ``grid`` (H, W) is what ``prepare`` must deliver, ``size`` (h, w) what the segmentation network
    is given of it. ``channels`` names what the segmentation
    network is given, in order: the authors' takes low_energy, recombined, low_energy.
    ``energies`` names those that the classifier was trained on.
    """

    card: ModelCard
    grid: tuple[int, int]
    size: tuple[int, int]
    crop: CropRule
    channels: tuple[str, ...]
    energies: tuple[str, ...]
    calibration: Calibration
    segmentation: Segmenter
    classification: Classifier
    familiar: Familiar | None = None

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Operating points of the bundle, as its card states them."""
        return self.card.thresholds

    def segment(self, view: PreparedView) -> FloatImage:
        """Probability (H, W) in [0, 1] that a pixel of the network grid belongs to a lesion.

        Raises
        ------
        ValueError
            When the view was not prepared for this bundle's grid.
        """
        if view.image.shape != (2, *self.grid):
            raise ValueError(
                f"the view is {view.image.shape}, the bundle takes (2, *{self.grid}); "
                "prepare it with grid=faps.grid"
            )
        stacked = torch.from_numpy(view.image)[[ENERGIES.index(name) for name in self.channels]]
        with torch.inference_mode():
            logits = self.segmentation(resized(stacked[None], self.size))
            probability = lesion_probability(logits, self.grid)[0, 0]
        inside = view.image.max(axis=0) > self.crop.outside
        return np.where(inside, probability.numpy(), np.float32(0)).astype(np.float32)

    def classify(self, views: Sequence[tuple[PreparedView, FloatImage]]) -> Answer:
        """Probability of malignancy of one breast's lesion, and a heat map (H, W) for each view.

        ``views`` are those in which the lesion was found, each with its mask or probability (H, W)
        on the network grid. A view that is missing is left out of the mean of the logits, which is
        exact; the caller says in the report that it was missing.

        Raises
        ------
        ValueError
            When there is no view.
        """
        if not views:
            raise ValueError("no view of the lesion is given; ask only where a lesion was found")
        threshold = float(self.thresholds["segment"])
        evidence = [log_odds(float(lesion.max())) for _, lesion in views]
        squares = [square_around(lesion, self.crop, threshold) for _, lesion in views]
        channels = [ENERGIES.index(energy) for energy in self.energies]
        crops = torch.stack(
            [
                cut(torch.from_numpy(view.image)[channels], square, self.crop)
                for (view, _), square in zip(views, squares, strict=True)
            ]
        )
        with torch.inference_mode():
            maps = self.classification.features(crops)  # (views, energies, C, s, s)
            logits = self.classification.logits(maps)
            weight, cells = self.classification.weight, self.classification.cells
            heat = [
                on_grid(activation_map(m, weight), cells, self.crop.size, square, self.grid)
                for m, square in zip(maps, squares, strict=True)
            ]
        calibrated = self.calibration.probability
        return Answer(
            calibrated(logits.mean(dim=0), sum(evidence) / len(evidence)),
            tuple(
                np.where(view.image.max(axis=0) > self.crop.outside, h.numpy(), np.float32(0))
                for h, (view, _) in zip(heat, views, strict=True)
            ),
            tuple(calibrated(one, e) for one, e in zip(logits, evidence, strict=True)),
            0.0 if self.familiar is None else self.familiar.strangeness(maps),
        )


def resized(views: Tensor, size: tuple[int, int]) -> Tensor:
    """Views (N, C, H, W) as (N, C, h, w), averaged down, in the layout that is fastest."""
    if views.shape[-2:] != size:
        views = functional.interpolate(
            views, size=size, mode="bilinear", align_corners=False, antialias=True
        )
    return views.contiguous(memory_format=torch.channels_last)


def lesion_probability(logits: Tensor, grid: tuple[int, int]) -> Tensor:
    """Logits (N, 1, h, w) of either head → probabilities (N, 1, H, W); the same in training."""
    return torch.sigmoid(
        functional.interpolate(logits, size=grid, mode="bilinear", align_corners=False)
    )
