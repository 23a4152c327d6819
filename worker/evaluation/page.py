"""A report as a page that needs no network and no scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from worker.evaluation import plots
from worker.evaluation.cases import ClassificationCase, SegmentationCase

MISSING = "n/a"


def write_page(
    report: Mapping[str, Any],
    segmentation: Sequence[SegmentationCase],
    classification: Sequence[ClassificationCase],
    out: Path,
) -> None:
    """Write ``out`` as HTML with its plots inside."""
    environment = Environment(
        loader=PackageLoader("worker.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "share": share}
    html = environment.get_template("report.html").render(
        report=report, drawings=_drawings(report, segmentation, classification)
    )
    out.write_text(html, encoding="utf-8")


def _drawings(
    report: Mapping[str, Any],
    segmentation: Sequence[SegmentationCase],
    classification: Sequence[ClassificationCase],
) -> dict[str, str]:
    """Plots by title, of what there is."""
    found = {}
    figures = report["classification"]
    if any(case.has_lesion for case in segmentation):
        found["Dice of images with a lesion; a missed one counts 0"] = plots.dice_plot(segmentation)
    if figures["auc"] is not None:
        found["ROC, malignant against benign"] = plots.roc_plot(classification)
    if figures.get("reliability"):
        found["Reliability"] = plots.reliability_plot(figures["reliability"])
    if figures.get("decision_curve"):
        found["Decision curve"] = plots.decision_plot(figures["decision_curve"])
    return found


def figure(table: Mapping[str, Any], name: str) -> str:
    """A figure with its interval: ``0.712 (0.660 to 0.761)``.

    >>> figure({"auc": 0.9, "auc_ci": [0.85, 0.95]}, "auc"), figure({"auc": None}, "auc")
    ('0.900 (0.850 to 0.950)', 'n/a')
    """
    value, bounds = table.get(name), table.get(f"{name}_ci")
    if value is None:
        return MISSING
    text = f"{value:.3f}"
    return text if not bounds else f"{text} ({bounds[0]:.3f} to {bounds[1]:.3f})"


def share(value: float | None) -> str:
    """A number with three digits, or a dash."""
    return MISSING if value is None else f"{value:.3f}"
