"""Figures of a network on views it has not seen, through the product's own gate."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from scipy.optimize import minimize
from torch import Tensor

from worker.contracts import FloatImage, Mask
from worker.evaluation.overlap import dice
from worker.evaluation.statistics import Estimate, auc, bootstrap, brier, proportion
from worker.exam.lesions import MOST_LESIONS, SMOOTHING, level_of, outline
from worker.faps.crop import CropRule, cut
from worker.faps.ensemble import Classifier
from worker.faps.familiar import pooled
from worker.faps.predictor import ENERGIES, Calibration, log_odds
from worker.training.classification import Crop, class_of
from worker.training.public import mask_on_grid
from worker.training.sample import Sample

LEVELS = ((0.3, 0.0), (0.4, 0.0), (0.5, 0.0), (0.6, 0.0), (0.7, 0.0), (0.5, 1.0))
PEAKS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.96, 0.97, 0.98, 0.99)
LEAST_AREAS = (25.0, 60.0, 120.0)  # network pixels; about 5 to 25 mm2 in a breast of usual size
# How much a view that is silent by right weighs against one that is outlined well.
SILENCE = 0.25
NO_LIMITS = {"birads_lower_below": 0.0, "birads_higher_from": 1.0}
LOWERED_CANCERS, RAISED_BENIGN = 0.02, 0.05
RIDGE = 1e-2  # keeps the slope finite when a small set is separable

Floats = npt.NDArray[np.float64]
Answered = Sequence[tuple[Sample, FloatImage]]  # views with the network's probability


@dataclass(frozen=True)
class Graded:
    """What the product would report of each view, against the truth."""

    dice: npt.NDArray[np.float64]  # of views with a lesion; a missed one counts 0
    patients: tuple[str, ...]  # of the same views
    met: int  # views with a lesion where mask and truth meet
    silent: int  # views without a lesion where nothing is reported
    without: int  # views without a lesion

    @property
    def worth(self) -> float:
        """What a gate is chosen by: mean Dice, and silence where there is nothing."""
        found = float(self.dice.mean()) if self.dice.size else 0.0
        return found + SILENCE * (self.silent / self.without if self.without else 0.0)

    def as_table(self) -> dict[str, Any]:
        """For the card, with 95 % confidence intervals: Dice by patient, shares by Wilson."""
        table: dict[str, Any] = {"with_lesion": self.dice.size, "without_lesion": self.without}
        if self.dice.size:
            mean = bootstrap(self.dice, self.patients)
            table |= interval("dice_mean", mean)
            table |= {
                "dice_sd": round(float(self.dice.std()), 3),
                "dice_median": round(float(np.median(self.dice)), 3),
            }
        table |= interval("found", proportion(self.met, self.dice.size))
        return table | interval("silent", proportion(self.silent, self.without))


def interval(name: str, estimate: Estimate | None) -> dict[str, Any]:
    """A figure with its interval as entries of the card; nothing where there is no figure."""
    if estimate is None:
        return {}
    bounds = [round(bound, 3) for bound in estimate.interval]
    return {name: round(estimate.value, 3), f"{name}_ci": bounds}


def reported(sample: Sample, probability: FloatImage, thresholds: Mapping[str, float]) -> Mask:
    """Everything the product would outline in a view, back on the network grid (H, W)."""
    lesions = outline(probability, sample.frame, None, thresholds=thresholds)[:MOST_LESIONS]
    union = np.zeros(probability.shape, dtype=np.bool_)
    for lesion in lesions:
        union |= mask_on_grid(lesion.mask, sample.frame)
    return union


def graded(answered: Answered, thresholds: Mapping[str, float]) -> Graded:
    """Views whose lesions are known, with ``thresholds``."""
    scores, patients, met, silent, without = [], [], 0, 0, 0
    for sample, probability in answered:
        if sample.lesion is None:
            continue
        mask = reported(sample, probability, thresholds)
        if sample.positive:
            scores.append(dice(mask, sample.lesion))
            patients.append(sample.group)
            met += bool((mask & sample.lesion).any())
        else:
            without += 1
            silent += not mask.any()
    return Graded(np.array(scores), tuple(patients), met, silent, without)


def choose_gate(parts: Sequence[Answered], thresholds: Mapping[str, float]) -> dict[str, float]:
    """``thresholds`` with the level, the peak and the least area that serve best together.

    Best is the largest sum, over ``parts`` (one a source), of what ``Graded.worth`` says. Regions
    are looked at on the network grid, where every gate is a choice among the same few.
    """
    levels = [{"segment": level, "adaptive": adaptive} for level, adaptive in LEVELS]
    found = [[_regions(part, level) for part in parts] for level in levels]
    gates = itertools.product(range(len(levels)), PEAKS, LEAST_AREAS)
    trials = [(n, {**thresholds, **levels[n], "peak": p, "min_area_px": a}) for n, p, a in gates]

    def worth(trial: tuple[int, dict[str, float]]) -> float:
        return sum(_gated(part, trial[1]).worth for part in found[trial[0]])

    return max(trials, key=worth)[1]


@dataclass(frozen=True)
class _Regions:
    """What of one view lies above a level: area, highest probability, pixels of the lesion."""

    area: npt.NDArray[np.float64]
    peak: npt.NDArray[np.float64]
    shared: npt.NDArray[np.float64]
    lesion: int  # pixels that are drawn
    pixels: int
    patient: str


def _regions(answered: Answered, level: Mapping[str, float]) -> list[_Regions]:
    """The regions of views whose lesions are known, largest first."""
    found = []
    for sample, probability in answered:
        if sample.lesion is None:
            continue
        smooth = ndimage.gaussian_filter(probability, SMOOTHING)
        labels, count = ndimage.label(smooth >= level_of(probability, level))
        index = np.arange(1, count + 1)
        area, shared = (
            np.atleast_1d(ndimage.sum(part, labels, index)) for part in (labels > 0, sample.lesion)
        )
        peak = np.atleast_1d(ndimage.maximum(probability, labels, index))
        order = np.argsort(-area)
        lesion = int(sample.lesion.sum())
        found.append(
            _Regions(
                area[order], peak[order], shared[order], lesion, probability.size, sample.group
            )
        )
    return found


def _gated(views: Sequence[_Regions], gate: Mapping[str, float]) -> Graded:
    """``graded`` on the network grid."""
    scores, patients, met, silent, without = [], [], 0, 0, 0
    for view in views:
        largest = gate["max_area_fraction"] * view.pixels
        kept = (view.peak >= gate["peak"]) & (view.area >= gate["min_area_px"])
        kept &= (view.area <= largest) & (np.cumsum(kept) <= MOST_LESIONS)
        if view.lesion:
            shared = float(view.shared[kept].sum())
            scores.append(2 * shared / (float(view.area[kept].sum()) + view.lesion))
            patients.append(view.patient)
            met += shared > 0
        else:
            without += 1
            silent += not kept.any()
    return Graded(np.array(scores), tuple(patients), met, silent, without)


@dataclass(frozen=True)
class Scored:
    """Each breast's logit, malignant minus benign, and evidence, means over its views; its class.

    ``evidence`` is ``log_odds`` of the segmentation's highest probability.
    """

    logits: Floats
    evidence: Floats
    classes: tuple[str, ...]

    @property
    def malignant(self) -> npt.NDArray[np.bool_]:
        """Labels."""
        return np.array([name == "malignant" for name in self.classes], dtype=np.bool_)

    @property
    def lesions(self) -> Scored:
        """Without breasts that have no lesion."""
        keep = [i for i, name in enumerate(self.classes) if name != "empty"]
        classes = tuple(self.classes[i] for i in keep)
        return Scored(self.logits[keep], self.evidence[keep], classes)

    def calibrated(self, by: Calibration) -> Floats:
        """Log-odds of malignancy."""
        return by.slope * self.logits + by.evidence * self.evidence + by.intercept

    def as_table(self, calibration: Calibration) -> dict[str, Any]:
        """AUC against benign and against the rest, Brier score, with the numbers behind them."""
        lesions = self.lesions
        z = lesions.calibrated(calibration)
        table: dict[str, Any] = {
            name: self.classes.count(name) for name in ("malignant", "benign", "empty")
        }
        if lesions.logits.size:
            table["brier"] = round(brier(1 / (1 + np.exp(-z)), lesions.malignant), 3)
        table |= interval("auc", auc(z, lesions.malignant))
        return table | interval("auc_rest", auc(self.calibrated(calibration), self.malignant))


def scored(
    network: Classifier,
    crops: Iterable[Crop],
    rule: CropRule,
    energies: Sequence[str],
    *,
    by_image: bool = False,
) -> Scored:
    """What ``network`` says of each breast, or of each image for itself."""
    channels = [ENERGIES.index(name) for name in energies]
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for crop in crops:
        image = torch.from_numpy(crop.sample.image.astype(np.float32))[channels]
        there = {"low_energy": crop.sample.has_low_energy, "recombined": True}
        present = torch.tensor([[float(there[name]) for name in energies]])
        with torch.inference_mode():
            maps = network.features(cut(image, crop.square, rule)[None], present)
            logits = network.logits(maps)[0]
        side = crop.sample.name.split("_")[1]
        unit = crop.sample.name if by_image else f"{crop.sample.group} {side}"
        answer = (float(logits[1] - logits[0]), log_odds(crop.peak))
        found.setdefault((unit, class_of(crop)), []).append(answer)
    means = np.array([np.mean(answers, axis=0) for answers in found.values()]).reshape(-1, 2)
    return Scored(means[:, 0], means[:, 1], tuple(name for _, name in found))


def features_of(network: Classifier, crop: Crop, rule: CropRule, energies: Sequence[str]) -> Tensor:
    """What ``network`` makes of one crop before it decides: (1, F)."""
    channels = [ENERGIES.index(name) for name in energies]
    image = torch.from_numpy(crop.sample.image.astype(np.float32))[channels]
    with torch.inference_mode():
        return pooled(network.features(cut(image, crop.square, rule)[None]))


def birads_limits(found: Scored, calibration: Calibration) -> dict[str, float]:
    """Where a radiologist's BI-RADS 4 may be lowered or raised, by lesions that were not seen.

    Below the lower limit lie at most ``LOWERED_CANCERS`` of the malignant breasts, from the higher
    one on at most ``RAISED_BENIGN`` of the benign ones. Networks that know nothing suggest nothing.
    """
    if found.malignant.all() or not found.malignant.any():
        return NO_LIMITS
    p = 1 / (1 + np.exp(-found.calibrated(calibration)))
    lower, higher = sorted(
        (
            float(np.quantile(p[found.malignant], LOWERED_CANCERS)),
            float(np.quantile(p[~found.malignant], 1 - RAISED_BENIGN)),
        )
    )
    if lower == higher:
        return NO_LIMITS
    return {"birads_lower_below": round(lower, 3), "birads_higher_from": round(higher, 3)}


def platt(found: Scored) -> Calibration:
    """Logistic regression on both networks' log-odds (Platt 1999), slightly shrunk.

    Neither network's word is ever turned round: a negative weight becomes 0.
    """
    # Where every lesion is drawn, all evidence is the same and can tell nothing.
    evidence = found.evidence if np.ptp(found.evidence) > 0 else np.zeros_like(found.evidence)
    features = np.stack([found.logits, evidence, np.ones_like(evidence)], axis=1)
    labels = np.where(found.malignant, 1, -1)

    def loss(theta: Floats) -> float:
        return float(
            np.logaddexp(0, -labels * (features @ theta)).mean() + RIDGE * theta[:2] @ theta[:2]
        )

    bounds = [(0, None), (0, None), (None, None)]
    fitted = minimize(loss, np.array([1.0, 0.0, 0.0]), method="L-BFGS-B", bounds=bounds).x
    return Calibration(*(float(fitted[i]) for i in (0, 2, 1)))
