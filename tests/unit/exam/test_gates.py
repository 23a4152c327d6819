"""Breasts that the classifier must not be asked about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.analysis_builders import right_breast
from worker.contracts import Lesion, ViewResult
from worker.exam.gates import edge_share, gate_of


def view_with(**changes: object) -> ViewResult:
    """A view whose largest lesion is changed."""
    view = next(v for v in right_breast().views if v.lesions)
    return replace(view, lesions=(replace(view.lesions[0], **changes), *view.lesions[1:]))


def disc(x: float, y: float, radius: float = 100.0, shape: tuple[int, int] = (1000, 800)) -> Lesion:
    """A disc that the image may cut."""
    angle = np.linspace(0, 2 * np.pi, 201)
    points = np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)
    kept = next(v for v in right_breast().views if v.lesions).lesions[0]
    return replace(
        kept,
        mask=np.zeros(shape, dtype=bool),
        outline=np.clip(points, 0, (shape[1], shape[0])),
        long_axis_mm=14.0,
    )


@pytest.mark.parametrize(
    ("size", "code"),
    [(3.9, "lesion_size"), (4.0, None), (60.0, None), (60.1, "lesion_size"), (None, None)],
)
def test_masses_of_a_size_that_nobody_trained_on_are_not_judged(size, code):
    gate = gate_of([view_with(long_axis_mm=size)])
    assert (gate and gate.code) == code
    if gate is not None:
        assert "the model is meant for 4 to 60 mm" in gate.text


def test_more_lesions_than_are_reported_come_first():
    view = replace(view_with(long_axis_mm=90.0), gate="many_lesions")
    gate = gate_of([view])
    assert gate is not None
    assert gate.code == "many_lesions"
    assert view.pair.name in gate.text


@pytest.mark.parametrize(
    ("x", "y", "cut"), [(400, 500, False), (-20, 500, True), (400, 1010, True), (95, 500, False)]
)
def test_a_lesion_that_the_edge_cuts_off_is_not_judged(x, y, cut):
    lesion = disc(x, y)
    view = replace(view_with(), lesions=(lesion,))
    assert (edge_share(lesion) >= 0.25) is cut
    gate = gate_of([view])
    assert (gate.code if gate else None) == ("lesion_at_edge" if cut else None)
