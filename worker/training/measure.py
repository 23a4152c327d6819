"""Figures of a network on views it has not seen, through the product's own gate."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize

from worker.contracts import FloatImage, Mask
from worker.exam.lesions import outline
from worker.faps.crop import CropRule, cut
from worker.faps.predictor import Calibration
from worker.faps.xception_ppm import FapsClassifier
from worker.training.cdd_cesm import mask_on_grid
from worker.training.classification import Crop
from worker.training.sample import Sample

PEAKS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
LEAST_AREAS = (
    25.0,
    40.0,
    60.0,
    90.0,
)  # network pixels; about 5 to 20 mm2 in a breast of usual size
RIDGE = 1e-2  # keeps the slope finite when a small set is separable

Answered = Sequence[tuple[Sample, FloatImage]]  # views with the network's probability


@dataclass(frozen=True)
class SegmentationFigures:
    """Dice over views with a lesion (a missed one counts 0), silence over views without.

    ``found`` is the share of views with a lesion where mask and truth meet; ``silent`` the share of
    views without one where nothing is reported. Shares of nothing are None.
    """

    with_lesion: int
    dice_mean: float | None
    dice_sd: float | None
    dice_median: float | None
    found: float | None
    without_lesion: int
    silent: float | None

    def as_table(self) -> dict[str, float | int]:
        """For the card: what is known, rounded to three digits."""
        known = {k: v for k, v in vars(self).items() if v is not None}
        return {k: round(v, 3) if isinstance(v, float) else v for k, v in known.items()}


def dice(one: Mask, other: Mask) -> float:
    """2 |A and B| / (|A| + |B|); 1 for two empty masks."""
    total = int(one.sum()) + int(other.sum())
    return 1.0 if total == 0 else 2 * int((one & other).sum()) / total


def reported(sample: Sample, probability: FloatImage, thresholds: Mapping[str, float]) -> Mask:
    """Everything the product would outline in a view, back on the network grid (H, W)."""
    lesions = outline(probability, sample.frame, None, thresholds=thresholds)
    union = np.zeros(probability.shape, dtype=np.bool_)
    for lesion in lesions:
        union |= mask_on_grid(lesion.mask, sample.frame)
    return union


def segmentation_figures(
    answered: Answered, thresholds: Mapping[str, float]
) -> SegmentationFigures:
    """Figures over views whose lesions are known, with ``thresholds``."""
    scores, met, silent = [], [], []
    for sample, probability in answered:
        if sample.lesion is None:
            continue
        mask = reported(sample, probability, thresholds)
        if sample.positive:
            scores.append(dice(mask, sample.lesion))
            met.append(bool((mask & sample.lesion).any()))
        else:
            silent.append(not mask.any())
    return SegmentationFigures(
        with_lesion=len(scores),
        dice_mean=float(np.mean(scores)) if scores else None,
        dice_sd=float(np.std(scores)) if scores else None,
        dice_median=float(np.median(scores)) if scores else None,
        found=float(np.mean(met)) if met else None,
        without_lesion=len(silent),
        silent=float(np.mean(silent)) if silent else None,
    )


def choose_gate(parts: Sequence[Answered], thresholds: Mapping[str, float]) -> dict[str, float]:
    """``thresholds`` with the peak and least area that serve validation views best.

    Best is the largest sum, over ``parts`` (one a source), of mean Dice plus share of silent
    views without a lesion: a false alarm weighs as much as a lost lesion.
    """
    best, chosen = -1.0, dict(thresholds)
    for peak, area in itertools.product(PEAKS, LEAST_AREAS):
        trial = {**thresholds, "peak": peak, "min_area_px": area}
        figures = [segmentation_figures(part, trial) for part in parts]
        total = sum((f.dice_mean or 0.0) + (f.silent or 0.0) for f in figures)
        if total > best:
            best, chosen = total, trial
    return chosen


def lesion_logits(
    network: FapsClassifier, crops: Iterable[Crop], rule: CropRule, energies: Sequence[int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Malignant minus benign logit of each lesion, averaged over its views, with its label.

    ``energies`` are the channels to look at: the others are told to be absent.
    """
    found: dict[tuple[str, bool], list[float]] = {}
    for crop in crops:
        image = torch.from_numpy(crop.sample.image.astype(np.float32))
        present = torch.tensor([[float(c in energies) for c in range(image.shape[0])]])
        if not crop.sample.has_low_energy:
            present[:, 0] = 0
        with torch.inference_mode():
            maps = network.features(cut(image, crop.square, rule)[None], present)
            logits = network.logits(maps)[0]
        side = crop.sample.name.split("_")[1]
        key = (f"{crop.sample.group} {side}", crop.malignant)
        found.setdefault(key, []).append(float(logits[1] - logits[0]))
    scores = np.array([np.mean(values) for values in found.values()])
    return scores, np.array([malignant for _, malignant in found], dtype=np.bool_)


def auc(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]) -> float | None:
    """Area under the ROC curve (ties count half); None without both classes."""
    malignant, benign = scores[labels], scores[~labels]
    if not malignant.size or not benign.size:
        return None
    wins = (malignant[:, None] > benign).mean() + 0.5 * (malignant[:, None] == benign).mean()
    return float(wins)


def classification_figures(
    scores: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_], calibration: Calibration
) -> dict[str, float | int]:
    """AUC, and Brier score of the calibrated probability, with the number of lesions."""
    p = 1 / (1 + np.exp(-(calibration.slope * scores + calibration.intercept)))
    figures: dict[str, float | int] = {
        "malignant": int(labels.sum()),
        "benign": int((~labels).sum()),
        "brier": round(float(((p - labels) ** 2).mean()), 3),
    }
    area = auc(scores, labels)
    return figures if area is None else {**figures, "auc": round(area, 3)}


def platt(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]) -> Calibration:
    """Slope and intercept of a logistic regression on the logits (Platt 1999), slightly shrunk."""

    def loss(theta: npt.NDArray[np.float64]) -> float:
        z = (theta[0] * scores + theta[1]) * np.where(labels, 1, -1)
        return float(np.logaddexp(0, -z).mean() + RIDGE * (theta**2).sum())

    fitted = minimize(loss, np.array([1.0, 0.0]), method="BFGS").x
    return Calibration(slope=max(float(fitted[0]), 0.0), intercept=float(fitted[1]))
