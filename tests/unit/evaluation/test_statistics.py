"""Figures against what is known of them by other ways."""

from __future__ import annotations

import numpy as np
import pytest

from worker.evaluation.statistics import (
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


def drawn(n=200, shift=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.4
    return rng.normal(0, 1, n) + shift * labels, labels


def test_auc_is_the_share_of_ordered_pairs_ties_counting_half():
    scores = np.array([0.1, 0.4, 0.4, 0.8])
    assert auc(scores, np.array([False, False, True, True])).value == pytest.approx(0.875)


def test_auc_needs_both_classes():
    assert auc(np.array([0.1, 0.2]), np.array([True, True])) is None


def test_delongs_interval_is_that_of_a_bootstrap():
    scores, labels = drawn(400)
    found = auc(scores, labels)
    rng = np.random.default_rng(1)
    again = []
    for _ in range(1500):
        chosen = rng.integers(400, size=400)
        again.append(auc(scores[chosen], labels[chosen]).value)
    assert found.low == pytest.approx(np.percentile(again, 2.5), abs=0.008)
    assert found.high == pytest.approx(np.percentile(again, 97.5), abs=0.008)


def test_delongs_variance_of_the_textbook_case():
    # Structural components of 3 against 2 by hand: V10 = (1, 1, 1/2), V01 = (2/3, 1).
    scores = np.array([3.0, 4.0, 1.0, 2.0, 0.5])
    found = auc(scores, np.array([True, True, True, False, False]))
    variance = np.var([1, 1, 0.5], ddof=1) / 3 + np.var([2 / 3, 1], ddof=1) / 2
    assert found.value == pytest.approx(5 / 6)
    assert found.low == pytest.approx(5 / 6 - 1.959964 * np.sqrt(variance), abs=1e-6)


def test_a_perfect_separation_keeps_its_doubt():
    found = auc(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, False, True, True]))
    assert found.value == 1.0
    assert 0.1 < found.low < 0.5


def test_wilsons_interval_of_a_known_share():
    found = proportion(8, 10)
    assert found.value == 0.8
    assert found.interval == pytest.approx((0.4902, 0.9433), abs=1e-3)
    assert proportion(0, 0) is None


def test_patients_are_resampled_whole():
    values = np.repeat([0.0, 1.0], 50)
    by_image = bootstrap(values, [str(i) for i in range(100)])
    by_patient = bootstrap(values, ["a"] * 50 + ["b"] * 50)
    assert by_image.value == by_patient.value == 0.5
    assert by_image.high - by_image.low < 0.25
    assert by_patient.interval == (0.0, 1.0)


def test_the_same_seed_gives_the_same_interval():
    values, groups = np.linspace(0, 1, 30), [str(i % 10) for i in range(30)]
    assert bootstrap(values, groups) == bootstrap(values, groups)


def test_a_calibrated_probability_lies_on_the_line():
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    labels = rng.random(20_000) < p
    intercept, slope = calibration_line(p, labels)
    assert intercept == pytest.approx(0, abs=0.08)
    assert slope == pytest.approx(1, abs=0.08)
    assert ece(p, labels) < 0.02
    assert brier(p, labels) == pytest.approx(1 / 6, abs=0.01)
    assert sum(entry.n for entry in reliability(p, labels)) == 20_000


def test_a_certain_error_is_the_largest_one():
    p, labels = np.array([1.0, 0.0]), np.array([False, True])
    assert brier(p, labels) == ece(p, labels) == 1.0
    assert calibration_line(np.array([0.1, 0.9]), np.array([False, True])) is None


def test_treating_everybody_is_worth_what_vickers_says():
    labels = np.array([True] * 3 + [False] * 7)
    (benefit,) = net_benefit(np.ones(10), labels, np.array([0.2]))
    assert benefit == pytest.approx(0.3 - 0.7 * 0.25)
    (nothing,) = net_benefit(np.zeros(10), labels, np.array([0.2]))
    assert nothing == 0


def test_youdens_threshold_separates_what_can_be_separated():
    scores = np.array([0.1, 0.2, 0.7, 0.9])
    assert youden(scores, np.array([False, False, True, True])) == 0.7
