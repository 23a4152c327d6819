"""Breasts that get no probability, or one that is not to be relied on; what is suggested of it."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread

from tests.unit.test_analyse import CARD, RUN, VIEWS, KnownAnswer, dicom_objects, exam
from worker.analyse import analyse
from worker.contracts import Gate, PreparedView


def test_a_breast_outside_the_intended_use_is_outlined_and_gets_no_probability() -> None:
    class Many(KnownAnswer):
        def segment(self, view: PreparedView) -> np.ndarray:
            probability = super().segment(view)
            for row in (60, 110, 300, 350) if probability.any() else ():
                probability[row : row + 20, 60:80] = 0.9
            return probability

    faps = Many("R", 0.99)
    analysis, results = analyse(exam(), RUN, faps, VIEWS)
    right, left = analysis.findings
    assert (right.decision, right.p_malignant) == ("not_assessed", None)
    assert right.gate is not None
    assert right.gate.code == "many_lesions"
    assert [len(view.lesions) for view in right.views] == [3, 3]
    assert left.decision == "no_lesion"
    assert faps.asked == []
    sr = dcmread(BytesIO(dicom_objects(results)["sr", "exam"][1])).to_json()
    assert "no probability is given: R CC: more than 3 lesions" in sr
    assert '"111047"' not in sr


def test_views_that_contradict_each_other_are_indeterminate() -> None:
    faps = KnownAnswer("R", 0.7)
    faps.by_view = (0.95, 0.05)
    analysis, results = analyse(exam(), RUN, faps, VIEWS)
    right, _ = analysis.findings
    assert (right.decision, right.p_malignant) == ("indeterminate", 0.7)
    assert right.gate == Gate(
        "views_disagree", "the views contradict each other (CC 95.0 %, MLO 5.0 %)"
    )
    sr = dcmread(BytesIO(dicom_objects(results)["sr", "exam"][1])).to_json()
    assert "the views contradict each other (CC 95.0 %, MLO 5.0 %)." in sr


def test_a_lesion_unlike_anything_learnt_from_gets_no_probability() -> None:
    faps = KnownAnswer("R", 0.99)
    faps.strangeness = 3.0
    faps.card = replace(CARD, thresholds={**CARD.thresholds, "strangeness": 2.5})
    right, _ = analyse(exam(), RUN, faps, VIEWS)[0].findings
    assert (right.decision, right.p_malignant) == ("not_assessed", None)
    assert right.gate is not None
    assert right.gate.code == "unlike_training"
    assert all(view.heat_map is None for view in right.views)
    faps.strangeness = 2.5
    right, _ = analyse(exam(), RUN, faps, VIEWS)[0].findings
    assert (right.decision, right.p_malignant) == ("malignant", 0.99)


BIRADS = {"birads_lower_below": 0.05, "birads_higher_from": 0.9}


@pytest.mark.parametrize(
    ("p_malignant", "category", "suggestion"),
    [
        (0.01, "4A", "consider lower"),
        (0.01, "4C", "no change"),
        (0.95, "4B", "consider higher"),
        (0.5, "4A", "no change"),
    ],
)
def test_a_radiologists_category_is_answered_with_a_suggestion(
    p_malignant: float, category: str, suggestion: str
) -> None:
    faps = KnownAnswer("R", p_malignant)
    faps.thresholds = {**CARD.thresholds, **BIRADS}
    run = replace(RUN, categories={"R": category, "L": category})
    analysis, results = analyse(exam(), run, faps, VIEWS)
    right, left = analysis.findings
    assert right.assistance.suggestion == suggestion
    assert left.assistance.suggestion is None
    sr = dcmread(BytesIO(dicom_objects(results)["sr", "exam"][1]))
    words = sr.to_json()
    assert f"the radiologist's BI-RADS {category}: {suggestion}" in words
    assert f"nothing is suggested for BI-RADS {category}" in words
    assert "111005" not in words  # no category of the machine's own


def test_without_a_category_nothing_is_suggested() -> None:
    analysis, results = analyse(exam(), RUN, KnownAnswer("R", 0.99), VIEWS)
    assert [finding.assistance for finding in analysis.findings] == [None, None]
    sr = dcmread(BytesIO(dicom_objects(results)["sr", "exam"][1]))
    assert "BI-RADS" not in sr.to_json()
