"""Crops unlike anything learnt from are told apart."""

from __future__ import annotations

import pytest
import torch

from worker.faps.familiar import learnt, pooled


def maps(mean: float, seed: int = 0, views: int = 1) -> torch.Tensor:
    """Maps (views, 2 energies, 8 channels, 3, 3) whose means lie around ``mean``."""
    noise = torch.randn(views, 2, 8, 3, 3, generator=torch.Generator().manual_seed(seed))
    return mean + noise


def test_what_was_learnt_is_usual_and_what_lies_far_off_is_not():
    familiar, limit = learnt([pooled(maps(1.0, seed)) for seed in range(300)])
    within = [familiar.strangeness(maps(1.0, seed)) <= limit for seed in range(1000, 1200)]
    assert sum(within) / len(within) == pytest.approx(0.98, abs=0.04)
    assert familiar.strangeness(maps(4.0, 1)) > 2 * limit


def test_the_strangest_view_counts():
    familiar, limit = learnt([pooled(maps(1.0, seed)) for seed in range(100)])
    both = torch.cat([maps(1.0, 1), maps(5.0, 2)])
    assert familiar.strangeness(both) == pytest.approx(familiar.strangeness(both[1:]))
    assert familiar.strangeness(both) > limit


def test_a_feature_that_never_moved_makes_nothing_endlessly_strange():
    still = [torch.zeros(1, 4) for _ in range(10)]
    familiar, limit = learnt(still)
    assert limit == 0.0
    assert familiar.strangeness(torch.full((1, 1, 4, 2, 2), 0.01)) == pytest.approx(10.0)
