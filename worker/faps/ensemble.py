"""Several networks of one kind that answer as one: the mean of their logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from worker.faps.refinenet import RefineNet
from worker.faps.xception_ppm import FapsClassifier


class RefineNets(nn.Module):
    """Segmentation networks trained on different patients, or of different architectures."""

    def __init__(self, members: Sequence[RefineNet]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) → mean logits, of the size that the members answer at."""
        total = self.members[0](x)
        for member in list(self.members)[1:]:
            total = total + member(x)
        return total / len(self.members)  # type: ignore[no-any-return]

    @property
    def networks(self) -> list[RefineNet]:
        """The members."""
        return [m for m in self.members if isinstance(m, RefineNet)]


class FapsClassifiers(nn.Module):
    """Classifiers trained on different patients, with the interface of one.

    Each ends in a linear layer on the mean of its maps. The mean of their logits is therefore one
    linear layer on all their maps side by side, which is also what the heat map needs.
    """

    def __init__(self, members: Sequence[FapsClassifier]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.energies = members[0].energies
        self.in_channels = members[0].in_channels
        self.cells = members[0].cells

    @property
    def weight(self) -> Tensor:
        """Weights (2, energies * K * C) of the joint linear layer."""
        each = [m.weight.reshape(2, self.energies, -1) for m in self.classifiers]
        return torch.cat(each, dim=2).flatten(1) / len(self.members)

    def pyramid(self, images: Tensor) -> Tensor:
        """Images (N, in_channels, S, S) → pyramid maps (N, K * C, s, s) of all members."""
        return torch.cat([m.pyramid(images) for m in self.classifiers], dim=1)

    def features(self, crops: Tensor, present: Tensor | None = None) -> Tensor:
        """Crops (N, energies, S, S) → last pyramid maps (N, energies, K * C, s, s)."""
        return torch.cat([m.features(crops, present) for m in self.classifiers], dim=2)

    def logits(self, maps: Tensor) -> Tensor:
        """Maps (N, energies, K * C, s, s) → logits (N, 2): benign, malignant."""
        parts = maps.chunk(len(self.members), dim=2)
        logits = [m.logits(p) for m, p in zip(self.classifiers, parts, strict=True)]
        return torch.stack(logits).mean(dim=0)

    @property
    def classifiers(self) -> list[FapsClassifier]:
        """The members."""
        return [m for m in self.members if isinstance(m, FapsClassifier)]


class Fast(nn.Module):
    """A network's function computed by other hands than torch's modules."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._run = run

    def forward(self, x: Tensor) -> Tensor:
        """Whatever the network answers."""
        return self._run(x)


Segmenter = RefineNet | RefineNets | Fast
Classifier = FapsClassifier | FapsClassifiers


def classifiers_of(classifier: Classifier) -> list[FapsClassifier]:
    """The classifiers that answer together, or the one that answers alone."""
    if isinstance(classifier, FapsClassifier):
        return [classifier]
    return classifier.classifiers
