"""A bundle asked about every view of a public data set, as the node would ask it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from worker.contracts import Lesion, Mask, PreparedView
from worker.evaluation.cases import ClassificationCase, SegmentationCase
from worker.evaluation.overlap import dice, hd95
from worker.evaluation.page import write_page
from worker.evaluation.summary import classification_summary, segmentation_summary
from worker.exam.lesions import MOST_LESIONS, outline
from worker.faps.predictor import Faps
from worker.training.datasets import views
from worker.training.public import PublicView, sample_of

Step = Callable[[str], None]
# Images that tell malignant from benign: of the prepared layout's pairs all are malignant, and they
# are in its other folder once more.
LABELLED = ("recombined", "tcia", "phantom")
DRAWN = ("pairs", "fullres", "tcia", "phantom")


@dataclass
class Answers:
    """What was said of each image."""

    segmentation: list[SegmentationCase] = field(default_factory=list)
    classification: list[ClassificationCase] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # of each view, pixels to probability
    unusable: list[str] = field(default_factory=list)  # no breast was found


def evaluate(data: Path, faps: Faps, out: Path, step: Step = lambda _name: None) -> dict[str, Any]:
    """Write ``report.json`` and ``report.html`` into ``out``; gives what the first one holds.

    Raises
    ------
    UnsuitableExam
        When ``data`` has no layout that is known.
    """
    answers = answers_of(views(data), faps, step)
    report = {
        "title": "Evaluation of a FAPS bundle. Research use, not for diagnosis.",
        "bundle": {
            "name": faps.card.name,
            "version": faps.card.version,
            "sha256": faps.card.sha256,
            "signed": faps.card.signed,
            "training": faps.card.raw.get("training", {}),
        },
        "thresholds": dict(faps.thresholds),
        "segmentation": segmentation_summary(answers.segmentation),
        "classification": classification_summary(answers.classification, faps.thresholds),
        "seconds_per_case": float(np.median(answers.seconds)) if answers.seconds else None,
        "unusable": answers.unusable,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    rows = [vars(case) for case in (*answers.segmentation, *answers.classification)]
    (out / "cases.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    write_page(report, answers.segmentation, answers.classification, out / "report.html")
    return report


def answers_of(found: Iterable[PublicView], faps: Faps, step: Step) -> Answers:
    """Every view segmented and, where a lesion is found, classified."""
    answers = Answers()
    for view in found:
        step(view.name)
        sample = sample_of(view)
        if sample is None:
            answers.unusable.append(f"{view.source} {view.name}")
            continue
        prepared = PreparedView(image=sample.image.astype(np.float32), frame=sample.frame)
        start = time.monotonic()
        probability = faps.segment(prepared)
        every = outline(probability, prepared.frame, None, thresholds=faps.thresholds)
        lesions = every[:MOST_LESIONS]
        p = faps.classify([(prepared, probability)]).p_malignant if lesions else None
        answers.seconds.append(time.monotonic() - start)
        if (view.source in DRAWN or view.pathology == "Normal") and view.mask is not None:
            answers.segmentation.append(_outlined(view, view.mask, lesions))
        if view.source in LABELLED:
            answers.classification.append(
                ClassificationCase(
                    view.name, view.patient, view.source, view.pathology, p, view.attributes
                )
            )
    return answers


def _outlined(view: PublicView, truth: Mask, lesions: tuple[Lesion, ...]) -> SegmentationCase:
    """What was outlined against what was drawn, both on the grid of the recombined image."""
    union = np.zeros(truth.shape, dtype=np.bool_)
    for lesion in lesions:
        union |= lesion.mask
    regions, count = ndimage.label(union)
    met = set(np.unique(regions[truth])) - {0}
    has_lesion = bool(truth.any())
    return SegmentationCase(
        name=view.name,
        patient=view.patient,
        source=view.source,
        has_lesion=has_lesion,
        dice=dice(union, truth) if has_lesion else None,
        hd95_px=hd95(union, truth),
        found=bool(met),
        false_positives=int(count) - len(met),
        lesion_share=float(truth.mean()),
        attributes=view.attributes,
    )
