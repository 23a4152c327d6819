"""One row for each image that a bundle was asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SegmentationCase:
    """An image whose lesions are known, and what was outlined in it.

    ``dice`` of an image without a lesion is None; ``hd95_px`` needs both masks.
    """

    name: str
    patient: str
    source: str
    has_lesion: bool
    dice: float | None
    hd95_px: float | None
    found: bool  # outline and truth meet
    false_positives: int  # outlined regions that meet no truth
    lesion_share: float  # of the image
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassificationCase:
    """An image with its pathology, and what was said of it.

    ``p_malignant`` is None where the gate found no lesion: such a case counts as the least
    suspicious of all.
    """

    name: str
    patient: str
    source: str
    pathology: str  # "Malignant", "Benign", "Normal"
    p_malignant: float | None
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def malignant(self) -> bool:
        """The label."""
        return self.pathology == "Malignant"

    @property
    def gated(self) -> bool:
        """Whether no lesion was found, so that nothing was classified."""
        return self.p_malignant is None

    @property
    def score(self) -> float:
        """Probability of malignancy; 0 where no lesion was found."""
        return 0.0 if self.p_malignant is None else self.p_malignant

    @property
    def breast(self) -> str:
        """Patient and side."""
        return "_".join(self.name.split("_")[:2])
