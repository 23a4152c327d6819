"""What is to be trained, and where everything of it lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from worker.training import phantom_folder
from worker.training.folds import Part, parts


@dataclass(frozen=True)
class Order:
    """What is to be trained: ``hours`` over all networks, ``folds`` as ``folds.parts`` has it.

    ``base`` gives the other network and the architecture; ``warm`` starts from its weights too.
    ``beside`` is a bundle of the same folds whose networks of this kind shall answer together with
    the new ones. ``from_segmentation`` starts a classifier's trunk from its fold's segmentation.
    ``work`` keeps networks of folds and what a run that is broken off needs to go on; ``cache``
    keeps prepared phantoms, of ``phantoms`` women and as many breasts with one lesion.
    """

    data: Path | None
    out: Path
    hours: float
    folds: int = 0
    seed: int = 0
    base: Path | None = None
    warm: bool = False
    work: Path | None = None
    cache: Path | None = None
    phantoms: int = 200
    beside: Path | None = None
    from_segmentation: bool = False

    @property
    def kept(self) -> Path:
        """The work folder."""
        return self.work or self.out.with_name(f"{self.out.name}.work")

    @property
    def synthetic(self) -> bool:
        """Whether nothing but phantoms is learnt from."""
        return self.data is None or phantom_folder.is_here(self.data)

    @property
    def parts(self) -> list[Part]:
        """The networks to train: without public data nobody has to be held out."""
        return parts(self.folds) if self.data else parts(0)[-1:]

    @property
    def training_seeds(self) -> range:
        """Phantom women to learn from; demonstrations and tests use lower seeds."""
        return range(1000, 1000 + self.phantoms)

    @property
    def lesion_seeds(self) -> range:
        """Phantom breasts with one lesion: what the classifier needs more of."""
        return range(2000, 2000 + self.phantoms)

    @property
    def test_seeds(self) -> range:
        """Phantom women to measure on."""
        return range(1, 1 + max(self.phantoms // 2, 1))

    def state_of(self, kind: str, part: Part) -> Path:
        """What a run of a part's network needs to go on."""
        return self.kept / f"{kind}.{part.name}.pt"

    def weights_of(self, kind: str, part: Part) -> Path:
        """A part's trained network."""
        return self.kept / f"{kind}.{part.name}.weights.pt"

    def plot_of(self, kind: str, part: Part) -> Path:
        """The losses of a part's run."""
        return self.kept / f"{kind}.{part.name}.svg"
