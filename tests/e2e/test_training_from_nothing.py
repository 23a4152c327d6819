"""A few minutes of training on phantoms are enough to find most lesions."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch

from tests.peers import faps
from worker.faps.refinenet import RefineNet
from worker.faps.xception_ppm import FapsClassifier
from worker.training.bundle import base_card, write_bundle

MINUTES = 3
HOURS = str(MINUTES / 60)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_minutes_from_nothing_find_and_tell_apart_lesions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    card = base_card("phantoms", "0.1.0")
    card["input"]["size"] = [192, 108]
    card["input"]["crop"]["size"] = 96
    options = {k: v for k, v in card["classification"].items() if k != "energies"}
    states = {
        "segmentation": RefineNet(**card["segmentation"]).state_dict(),
        "classification": FapsClassifier(**options).state_dict(),
    }
    write_bundle(tmp_path / "base", card, states)
    bundle = str(tmp_path / "bundle")
    common = ["--out", bundle, "--cache", str(tmp_path / "cache"), "--phantoms", "80"]
    for network, more in (
        ("segmentation", ["--base", str(tmp_path / "base")]),
        ("classification", []),
    ):
        result = faps("train", network, *common, *more, "--hours", HOURS, timeout=1500)
        assert result.returncode == 0, result.stdout + result.stderr
    measured = tomllib.loads((tmp_path / "bundle/card.toml").read_text())["measured"]
    assert measured["segmentation"]["phantom"]["dice_mean"] > 0.6
    assert measured["classification"]["phantom"]["auc"] > 0.7
