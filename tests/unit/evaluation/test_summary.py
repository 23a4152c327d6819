"""Rows of cases as a report."""

from __future__ import annotations

import pytest

from worker.evaluation.cases import ClassificationCase, SegmentationCase
from worker.evaluation.page import write_page
from worker.evaluation.summary import classification_summary, segmentation_summary
from worker.faps.assist import Suggestion, suggest

THRESHOLDS = {"malignant_from": 0.5, "birads_lower_below": 0.1, "birads_higher_from": 0.9}


def view(number, dice, *, source="pairs", false=0, **attributes):
    return SegmentationCase(
        name=f"P{number}_L_CC",
        patient=f"P{number}",
        source=source,
        has_lesion=dice is not None,
        dice=dice,
        hd95_px=None if not dice else 4.0,
        found=bool(dice),
        false_positives=false,
        lesion_share=0.03,
        attributes=attributes,
    )


def image(number, pathology, p, view="CC", **attributes):
    return ClassificationCase(
        f"P{number}_L_{view}", f"P{number}", "recombined", pathology, p, attributes
    )


def test_a_missed_lesion_counts_as_zero():
    table = segmentation_summary([view(1, 0.8), view(2, 0.0, false=2), view(3, None)])
    assert table["n"] == 2
    assert table["dice_mean"] == pytest.approx(0.4)
    assert table["missed"] == 1
    assert table["detection_rate"] == 0.5
    assert table["silent_without_lesion"] == 1.0
    assert table["false_positives_per_image"] == pytest.approx(2 / 3)


def test_subgroups_of_a_handful_are_not_shown():
    cases = [view(i, 0.7, density="C") for i in range(6)] + [view(9, 0.1, density="A")]
    table = segmentation_summary(cases)
    assert set(table["subgroups"]["density"]) == {"C"}


def test_a_gated_case_is_counted_and_ranks_least_suspicious():
    cases = [image(1, "Malignant", 0.3), image(2, "Benign", None), image(3, "Benign", 0.6)]
    table = classification_summary([*cases, image(4, "Normal", None)], THRESHOLDS)
    assert table["auc"] == 0.5
    assert table["n"] == 3
    assert table["gated"] == {"Benign": 1, "Normal": 1}
    assert table["ungated"]["n"] == 2
    assert table["malignant_against_rest"]["auc"] == pytest.approx(2 / 3)


def test_the_locked_threshold_is_the_bundles():
    cases = [image(1, "Malignant", 0.7), image(2, "Malignant", 0.2), image(3, "Benign", 0.4)]
    table = classification_summary(cases, THRESHOLDS)["at_locked_threshold"]
    assert (table["sensitivity"], table["specificity"], table["ppv"]) == (0.5, 1.0, 1.0)
    assert table["sensitivity_ci"][0] < 0.5 < table["sensitivity_ci"][1]


def test_views_of_a_breast_decide_together():
    cases = [image(1, "Malignant", 0.9), image(1, "Malignant", 0.5, view="MLO")]
    table = classification_summary([*cases, image(2, "Benign", 0.6)], THRESHOLDS)
    assert table["by_breast"] == {
        "n": 2, "malignant": 1, "auc": 1.0, "auc_ci": table["by_breast"]["auc_ci"]
    }  # fmt: skip


def test_every_cancer_that_would_be_lowered_is_named():
    cases = [
        image(1, "Malignant", 0.05, birads="4A"),
        image(2, "Benign", 0.05, birads="4A"),
        image(3, "Malignant", 0.95, birads="4$2"),
        image(4, "Malignant", 0.05, birads="4C"),
        image(5, "Benign", 0.05, birads="2"),
    ]
    table = classification_summary(cases, THRESHOLDS)["birads_4"]
    assert table["lowered"] == ["P1_L_CC"]
    assert table["rows"]["4A"] == {"consider lower, malignant": 1, "consider lower, benign": 1}
    assert table["rows"]["4"] == {"consider higher, malignant": 1}
    assert table["rows"]["4C"] == {"no change, malignant": 1}
    assert classification_summary(cases, {"malignant_from": 0.5})["birads_4"] is None


@pytest.mark.parametrize("category", ["0", "1", "2", "3", "5", "6", ""])
def test_nothing_is_suggested_outside_category_4(category):
    assert suggest(category, 0.001, THRESHOLDS) is Suggestion.NO_CHANGE
    assert suggest(category, 0.999, THRESHOLDS) is Suggestion.NO_CHANGE


def test_a_report_without_cases_is_a_page_too(tmp_path):
    report = {
        "bundle": {"name": "b", "version": "1", "sha256": "00", "signed": False},
        "segmentation": segmentation_summary([]),
        "classification": classification_summary([], THRESHOLDS),
        "seconds_per_case": None,
        "unusable": ["pairs P1_L_CC"],
    }
    write_page(report, [], [], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "not for diagnosis" in text
    assert "not signed" in text
    assert "<svg" not in text
