"""The one thing that fault runs fake: networks that answer at once, and the same each time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from worker.contracts import FloatImage, ModelCard, PreparedView
from worker.faps.predictor import Answer

GRID = (64, 64)
SPOT = (slice(20, 30), slice(8, 20))
CARD = ModelCard(
    name="known answer",
    version="1",
    uuid="00000000-0000-0000-0000-000000000001",
    sha256="0" * 64,
    family="none",
    thresholds={
        "segment": 0.5, "peak": 0.6, "min_area_px": 10, "max_area_fraction": 0.5,
        "malignant_from": 0.65, "benign_below": 0.35,
    },
    statement="A fixed answer.",
)  # fmt: skip


class KnownAnswer:
    """One lesion in every view; ``folder`` holds what a fault run wants of the analysis.

    ``slow`` there holds seconds that a view takes. While ``poison`` is there, an analysis kills its
    own process, as a native crash in a network does.
    """

    card, grid, thresholds = CARD, GRID, CARD.thresholds

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def segment(self, view: PreparedView) -> FloatImage:
        slow = self._folder / "slow"
        if slow.exists():
            time.sleep(float(slow.read_text()))
        if (self._folder / "poison").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        probability = np.zeros(self.grid, np.float32)
        probability[SPOT] = 0.9
        return probability

    def classify(self, views: Sequence[tuple[PreparedView, FloatImage]]) -> Answer:
        maps = tuple(np.ones(self.grid, np.float32) for _ in views)
        return Answer(0.8, maps, (0.8,) * len(views))
