"""What is measured of breasts and images that a classifier has not seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.unit.training.test_train_networks import RULE, blob
from worker.faps.predictor import Calibration
from worker.faps.xception_ppm import FapsClassifier
from worker.training.classification import lesion_crops
from worker.training.measure import Scored, birads_limits, platt, scored


def test_views_of_one_breast_are_scored_together_and_apart_from_the_other_breast():
    torch.manual_seed(0)
    network = FapsClassifier(width=0.05, pyramid="semseg", in_channels=1, energies=1).eval()
    cc = blob(1)
    mlo = replace(blob(2), group=cc.group, name=cc.name.replace("CC", "MLO"))
    other = replace(blob(3, malignant=False), group=cc.group, name=cc.name.replace("_L_", "_R_"))
    found = scored(network, lesion_crops([cc, mlo, other], RULE), RULE, ("recombined",))
    alone = scored(network, lesion_crops([mlo], RULE), RULE, ("recombined",))
    assert found.classes == ("malignant", "benign")
    single = scored(network, lesion_crops([cc], RULE), RULE, ("recombined",))
    assert found.logits[0] == pytest.approx((alone.logits[0] + single.logits[0]) / 2, abs=1e-6)


def test_benign_and_empty_breasts_are_told_apart_in_the_figures():
    classes = ("malignant", "malignant", "benign", "empty")
    table = Scored(np.array([2.0, 0.5, 1.0, -1.0]), np.zeros(4), classes).as_table(Calibration())
    assert table["auc"] == 0.5
    assert table["auc_rest"] == 0.75
    assert (table["malignant"], table["benign"], table["empty"]) == (2, 1, 1)


def test_platt_scaling_finds_the_slope_of_overconfident_logits():
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 2, 4000)
    labels = rng.random(4000) < 1 / (1 + np.exp(-truth))
    logits = truth * 5 + 3
    classes = tuple("malignant" if label else "benign" for label in labels)
    found = Scored(logits, np.zeros_like(logits), classes)
    calibration = platt(found)
    assert calibration.slope == pytest.approx(0.2, rel=0.25)
    assert calibration.evidence == 0.0
    before, after = found.as_table(Calibration()), found.as_table(calibration)
    assert after["brier"] < before["brier"]
    assert after["auc"] == before["auc"]


def test_evidence_of_the_segmentation_counts_where_it_tells_malignant_from_benign():
    rng = np.random.default_rng(0)
    logits, evidence = rng.normal(0, 1, 2000), rng.normal(4, 2, 2000)
    labels = rng.random(2000) < 1 / (1 + np.exp(4 - 0.5 * logits - evidence))
    classes = tuple("malignant" if label else "benign" for label in labels)
    found = Scored(logits, evidence, classes)
    calibration = platt(found)
    assert calibration.evidence == pytest.approx(1.0, rel=0.25)
    without = Calibration(calibration.slope, calibration.intercept)
    assert found.as_table(calibration)["auc"] > found.as_table(without)["auc"] + 0.1
    # Evidence that speaks against its own lesions is left aside, not turned round.
    assert platt(Scored(logits, -evidence, classes)).evidence == 0.0


def test_limits_for_birads_leave_few_cancers_below_and_few_benign_above():
    rng = np.random.default_rng(0)
    logits = np.concatenate([rng.normal(1, 1, 500), rng.normal(-1, 1, 500)])
    classes = ("malignant",) * 500 + ("benign",) * 500
    found = Scored(logits, np.zeros(1000), classes)
    limits = birads_limits(found, Calibration())
    p = 1 / (1 + np.exp(-logits))
    assert np.mean(p[:500] < limits["birads_lower_below"]) == pytest.approx(0.02, abs=0.005)
    assert np.mean(p[500:] >= limits["birads_higher_from"]) == pytest.approx(0.05, abs=0.01)


def test_networks_that_know_nothing_suggest_nothing():
    found = Scored(np.zeros(4), np.zeros(4), ("malignant", "malignant", "benign", "benign"))
    limits = birads_limits(found, Calibration())
    assert limits == {"birads_lower_below": 0.0, "birads_higher_from": 1.0}
