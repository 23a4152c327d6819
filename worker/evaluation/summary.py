"""Rows of cases as the figures of a report, under the names of CLAIM and TRIPOD+AI."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from worker.evaluation.cases import ClassificationCase, SegmentationCase
from worker.evaluation.statistics import (
    Estimate,
    auc,
    bootstrap,
    brier,
    calibration_line,
    ece,
    net_benefit,
    proportion,
    reliability,
    youden,
)
from worker.faps.assist import Suggestion, suggest

DECISION_THRESHOLDS = np.arange(0.02, 0.51, 0.02)
FEWEST = 5  # cases of a subgroup that is shown
SIZES = ((0.0, 0.02, "below 2 % of the image"), (0.02, 0.06, "2 to 6 %"), (0.06, 1.01, "above 6 %"))
Table = dict[str, Any]


def segmentation_summary(cases: Sequence[SegmentationCase]) -> Table:
    """Dice with its spread, detection, false alarms; all, by source, by subgroup."""
    drawn = [case for case in cases if case.has_lesion]
    empty = [case for case in cases if not case.has_lesion]
    table = _overlap(drawn)
    table |= _estimate("silent_without_lesion", _share(empty, lambda c: c.false_positives == 0))
    table["n_without_lesion"] = len(empty)
    if cases:
        table["false_positives_per_image"] = float(np.mean([c.false_positives for c in cases]))
    table["by_source"] = {name: _overlap(g) for name, g in _groups(drawn, lambda c: c.source)}
    table["subgroups"] = {
        title: {name: _overlap(g) for name, g in _groups(drawn, key) if len(g) >= FEWEST}
        for title, key in {
            "lesion size": _size,
            "view": lambda c: c.name.split("_")[2],
            **{name: _attribute(name) for name in ("density", "machine")},
        }.items()
    }
    return table


def _overlap(drawn: Sequence[SegmentationCase]) -> Table:
    """Dice of images with a lesion; a missed lesion counts 0."""
    if not drawn:
        return {"n": 0}
    scores = np.array([case.dice or 0.0 for case in drawn])
    quarter, median, three = np.percentile(scores, (25, 50, 75))
    patients = [case.patient for case in drawn]
    distances = [case.hd95_px for case in drawn if case.hd95_px is not None]
    table: Table = {
        "n": len(drawn),
        "patients": len(set(patients)),
        "dice_sd": float(scores.std()),
        "dice_median": float(median),
        "dice_iqr": [float(quarter), float(three)],
        "hd95_px_median": float(np.median(distances)) if distances else None,
        "missed": sum(not case.found for case in drawn),
    }
    table |= _estimate("dice_mean", bootstrap(scores, patients))
    return table | _estimate("detection_rate", _share(drawn, lambda c: c.found))


def classification_summary(
    cases: Sequence[ClassificationCase], thresholds: Mapping[str, float]
) -> Table:
    """Malignant against benign; the rest, calibration, decision curve and subgroups beside it."""
    lesions = [case for case in cases if case.pathology != "Normal"]
    table = _discrimination(lesions)
    table["counts"] = dict(Counter(case.pathology for case in cases))
    table["gated"] = dict(Counter(case.pathology for case in cases if case.gated))
    table["ungated"] = _discrimination([case for case in lesions if not case.gated])
    table["malignant_against_rest"] = _discrimination(cases)
    table["by_breast"] = _discrimination(_by_breast(lesions))
    table["at_locked_threshold"] = _operating(lesions, thresholds["malignant_from"])
    table |= _calibration([case for case in lesions if not case.gated])
    if lesions:
        labels, p = _labels(lesions), _scores(lesions)
        table["youden_threshold"] = youden(p, labels) if 0 < labels.sum() < labels.size else None
        table["decision_curve"] = [
            {"threshold": float(t), "net_benefit": float(model), "treat_all": float(every)}
            for t, model, every in zip(
                DECISION_THRESHOLDS,
                net_benefit(p, labels, DECISION_THRESHOLDS),
                net_benefit(np.ones_like(p), labels, DECISION_THRESHOLDS),
                strict=True,
            )
        ]
    table["subgroups"] = {
        name: {
            value: _discrimination(group)
            for value, group in _groups(lesions, _attribute(name))
            if len(group) >= FEWEST
        }
        for name in ("birads", "density", "machine")
    }
    table["birads_4"] = _birads(lesions, thresholds)
    return table


def _discrimination(cases: Sequence[ClassificationCase]) -> Table:
    """AUC with DeLong's interval, and one resampled by patient."""
    table: Table = {"n": len(cases), "malignant": sum(case.malignant for case in cases)}
    found = auc(_scores(cases), _labels(cases)) if cases else None
    return table | _estimate("auc", found)


def _operating(cases: Sequence[ClassificationCase], threshold: float) -> Table:
    """Sensitivity, specificity and predictive values at the threshold that the bundle locks."""
    table: Table = {"threshold": threshold}
    positive = [case for case in cases if case.score >= threshold]
    negative = [case for case in cases if case.score < threshold]
    malignant = [case for case in cases if case.malignant]
    benign = [case for case in cases if not case.malignant]
    table |= _estimate("sensitivity", _share(malignant, lambda c: c.score >= threshold))
    table |= _estimate("specificity", _share(benign, lambda c: c.score < threshold))
    table |= _estimate("ppv", _share(positive, lambda c: c.malignant))
    return table | _estimate("npv", _share(negative, lambda c: not c.malignant))


def _calibration(cases: Sequence[ClassificationCase]) -> Table:
    """How far probabilities can be taken at their word, of cases that have one."""
    if not cases:
        return {}
    p, labels = _scores(cases), _labels(cases)
    line = calibration_line(p, labels)
    return {
        "brier": brier(p, labels),
        "ece": ece(p, labels),
        "calibration_intercept": None if line is None else line[0],
        "calibration_slope": None if line is None else line[1],
        "reliability": [vars(entry) for entry in reliability(p, labels)],
    }


def _by_breast(cases: Sequence[ClassificationCase]) -> list[ClassificationCase]:
    """One case a breast and class, with the mean over its views that have a probability."""
    found = []
    for _, group in _groups(cases, lambda c: f"{c.breast} {c.pathology}"):
        known = [case.p_malignant for case in group if case.p_malignant is not None]
        first = group[0]
        mean = float(np.mean(known)) if known else None
        found.append(
            ClassificationCase(first.breast, first.patient, first.source, first.pathology, mean)
        )
    return found


def _birads(cases: Sequence[ClassificationCase], thresholds: Mapping[str, float]) -> Table | None:
    """What would be suggested for categories 4; every cancer that would be lowered by name."""
    if "birads_lower_below" not in thresholds:
        return None
    rows: dict[str, Counter[str]] = {}
    lowered = []
    for case in cases:
        category = case.attributes.get("birads", "").split("$")[0].upper()
        if not category.startswith("4") or case.gated:
            continue
        advice = suggest(category, case.score, thresholds)
        rows.setdefault(category, Counter())[f"{advice.value}, {case.pathology.lower()}"] += 1
        if advice is Suggestion.LOWER and case.malignant:
            lowered.append(case.name)
    return {"rows": {name: dict(row) for name, row in sorted(rows.items())}, "lowered": lowered}


def _size(case: SegmentationCase) -> str:
    return next(name for low, high, name in SIZES if low <= case.lesion_share < high)


def _attribute(name: str) -> Callable[[Any], str]:
    return lambda case: case.attributes.get(name, "").strip() or "unknown"


def _groups(cases: Iterable[Any], key: Callable[[Any], str]) -> list[tuple[str, list[Any]]]:
    ordered = sorted(cases, key=key)
    return [(name, list(group)) for name, group in itertools.groupby(ordered, key)]


def _share(cases: Sequence[Any], holds: Callable[[Any], bool]) -> Estimate | None:
    return proportion(sum(holds(case) for case in cases), len(cases))


def _estimate(name: str, found: Estimate | None) -> Table:
    """A figure with its interval; null where there is none."""
    if found is None:
        return {name: None, f"{name}_ci": None}
    return {name: found.value, f"{name}_ci": list(found.interval)}


def _scores(cases: Sequence[ClassificationCase]) -> Any:  # noqa: ANN401 - an array, see statistics
    return np.array([case.score for case in cases], dtype=np.float64)


def _labels(cases: Sequence[ClassificationCase]) -> Any:  # noqa: ANN401 - an array, see statistics
    return np.array([case.malignant for case in cases], dtype=np.bool_)
