"""What both trainings learn from: one prepared view with its truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.contracts import FloatImage, Frame, Mask


@dataclass(frozen=True)
class Sample:
    """One view on the network grid.

    ``image`` (2, H, W) as ``prepare_arrays`` gives it, stored as fp16; ``lesion`` (H, W) bool,
    None where nobody drew one (which is not: there is none); ``malignant`` None where there is no
    lesion; ``has_low_energy`` False when channel 0 is blank. ``group`` is what a split must keep
    together: a patient or a phantom.
    """

    group: str
    name: str
    domain: str  # "phantom" or "cdd_cesm"
    image: npt.NDArray[np.float16]
    lesion: Mask | None
    malignant: bool | None
    has_low_energy: bool
    frame: Frame

    @property
    def positive(self) -> bool:
        """Whether a lesion is drawn in it."""
        return self.lesion is not None and bool(self.lesion.any())


def blanked(image: FloatImage, outside: float) -> FloatImage:
    """The view without its low-energy image: a channel that says nothing."""
    copy = image.copy()
    copy[0] = outside
    return copy
