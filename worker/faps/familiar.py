"""How unlike anything that a classifier has learnt from a crop is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LEAST_SPREAD = 1e-3  # of a feature: one that never moved would make everything strange
USUAL = 0.99  # share of what was learnt from that counts as usual


@dataclass(frozen=True)
class Familiar:
    """Mean and spread (F,) of the features of what was learnt from (faps.md §6.5)."""

    mean: Tensor
    spread: Tensor

    def strangeness(self, maps: Tensor) -> float:
        """Root mean square distance in spreads, of the strangest view; 1 is quite usual.

        A Mahalanobis distance that takes features as independent: there are more of them than
        images. ``maps`` (views, energies, C, s, s) as ``Classifier.features`` gives them.
        """
        return float(self._each(pooled(maps)).max())

    def _each(self, features: Tensor) -> Tensor:
        return ((features - self.mean) / self.spread).square().mean(dim=1).sqrt()


def pooled(maps: Tensor) -> Tensor:
    """Maps (views, energies, C, s, s) → features (views, energies * C)."""
    return maps.mean(dim=(-2, -1)).flatten(1)


def learnt(features: Sequence[Tensor]) -> tuple[Familiar, float]:
    """What is familiar after ``features`` (1, F) each, and the limit of strangeness."""
    every = torch.cat(list(features))
    spread = every.std(dim=0).clamp(min=LEAST_SPREAD)
    familiar = Familiar(every.mean(dim=0), spread)
    return familiar, float(torch.quantile(familiar._each(every), USUAL))  # noqa: SLF001 - its own
