"""A bundle of tiny networks that nobody has trained; nobody has signed it either."""

from __future__ import annotations

from pathlib import Path

import torch

from worker.faps.refinenet import RefineNet
from worker.faps.xception_ppm import FapsClassifier
from worker.training.bundle import base_card, write_bundle


def small_bundle(out: Path) -> Path:
    """Write it to a new folder ``out``."""
    torch.manual_seed(0)
    card = base_card("small", "0.1.0")
    card["segmentation"] |= {"width": 4, "features": 4}
    card["classification"] |= {"width": 0.05}
    card["input"]["grid"] = [64, 64]
    card["input"]["crop"] |= {"size": 64, "smallest": 16}
    states = {
        "segmentation": RefineNet(**card["segmentation"]).state_dict(),
        "classification": FapsClassifier(width=0.05, pyramid="semseg", in_channels=1).state_dict(),
    }
    write_bundle(out, card, states)
    return out
