"""Plots of a report as SVG, for a page without scripts."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from worker.evaluation.cases import ClassificationCase, SegmentationCase

INK, ACCENT, QUIET = "#16324f", "#c2410c", "#94a3b8"
SIZE = (4.4, 3.4)  # inches


def dice_plot(cases: Sequence[SegmentationCase]) -> str:
    """Histogram of Dice over images with a lesion, misses at 0."""
    figure, axes = _axes("Dice", "images")
    scores = [case.dice or 0.0 for case in cases if case.has_lesion]
    axes.hist(scores, bins=np.linspace(0, 1, 21).tolist(), color=INK, rwidth=0.9)
    return _svg(figure)


def roc_plot(cases: Sequence[ClassificationCase]) -> str:
    """ROC curve of malignant against benign; cases without a lesion found are least suspicious."""
    figure, axes = _axes("1 - specificity", "sensitivity")
    known = [case for case in cases if case.pathology != "Normal"]
    scores = np.array([case.score for case in known])
    labels = np.array([case.malignant for case in known])
    levels = [np.inf, *sorted(set(scores.tolist()), reverse=True)]
    axes.plot(
        [float((scores[~labels] >= t).mean()) for t in levels],
        [float((scores[labels] >= t).mean()) for t in levels],
        color=INK,
    )
    axes.plot([0, 1], [0, 1], color=QUIET, linestyle="--", linewidth=1)
    return _svg(figure)


def reliability_plot(bins: Sequence[Mapping[str, Any]]) -> str:
    """Share of malignant cases over the probability that was given."""
    figure, axes = _axes("probability of malignancy", "share malignant")
    axes.plot([0, 1], [0, 1], color=QUIET, linestyle="--", linewidth=1)
    axes.scatter(
        [entry["mean_p"] for entry in bins],
        [entry["share"] for entry in bins],
        s=[10 + 3 * float(entry["n"]) for entry in bins],
        color=INK,
    )
    return _svg(figure)


def decision_plot(curve: Sequence[Mapping[str, float]]) -> str:
    """Net benefit of the model, of treating all, of treating none."""
    figure, axes = _axes("threshold probability", "net benefit")
    at = [entry["threshold"] for entry in curve]
    axes.plot(at, [entry["net_benefit"] for entry in curve], color=ACCENT, label="model")
    axes.plot(at, [entry["treat_all"] for entry in curve], color=QUIET, label="all")
    axes.axhline(0, color=INK, linewidth=0.8, label="none")
    axes.legend(frameon=False)
    return _svg(figure)


def loss_plot(losses: Sequence[float], smooth: int = 50) -> str:
    """Losses of a training over its steps, with their running mean."""
    figure, axes = _axes("step", "loss")
    axes.plot(losses, color=QUIET, linewidth=0.5)
    if len(losses) > smooth:
        mean = np.convolve(losses, np.ones(smooth) / smooth, mode="valid")
        axes.plot(np.arange(smooth - 1, len(losses)), mean, color=ACCENT)
    return _svg(figure)


def _axes(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    """The figure as an SVG element; the same figure gives the same text."""
    with io.StringIO() as text:
        figure.savefig(text, format="svg", metadata={"Date": None})
        return text.getvalue().partition("<svg")[1] + text.getvalue().partition("<svg")[2]
