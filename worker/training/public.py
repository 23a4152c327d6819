"""One view of a public data set, before it is prepared for a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from dicom_node.errors import UnsuitableExam
from worker.contracts import FloatImage, Frame, Mask
from worker.exam.frame import to_grid
from worker.exam.pixels import OUTSIDE, prepare_arrays
from worker.training.sample import Sample, blanked

Pathology = Literal["Malignant", "Benign", "Normal"]


@dataclass(frozen=True)
class PublicView:
    """Arrays (rows, columns) of one view with what is known of it.

    ``low_energy`` lies on the grid of ``recombined``, or is None. ``mask`` is drawn on the
    recombined image; empty where a reader found nothing, None where nobody drew. ``source`` tells
    apart folders whose images were treated differently.
    """

    name: str  # "P3_L_MLO"
    patient: str
    source: str
    recombined: FloatImage
    pathology: Pathology
    low_energy: FloatImage | None = None
    mask: Mask | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def side(self) -> str:
        """``"L"`` or ``"R"``."""
        return self.name.split("_")[1]

    @property
    def malignant(self) -> bool | None:
        """None where there is no lesion."""
        return None if self.pathology == "Normal" else self.pathology == "Malignant"


def sample_of(view: PublicView) -> Sample | None:
    """The view as a network sees it; None when no breast is found in it."""
    low = view.recombined if view.low_energy is None else view.low_energy
    try:
        # Every picture of the set shows the chest wall where its side hangs; a recombined image
        # alone can be too dark there to tell.
        prepared = prepare_arrays(low, view.recombined, flipped=view.side == "R", certain=True)
    except UnsuitableExam:
        return None
    image = prepared.image if view.low_energy is not None else blanked(prepared.image, OUTSIDE)
    return Sample(
        group=view.patient,
        name=view.name,
        domain=view.source,
        image=image.astype(np.float16),
        lesion=None if view.mask is None else mask_on_grid(view.mask, prepared.frame),
        malignant=view.malignant,
        has_low_energy=view.low_energy is not None,
        frame=prepared.frame,
    )


def mask_on_grid(mask: Mask, frame: Frame) -> Mask:
    """A source mask (rows, columns) on the network grid (H, W): pixels that are half covered."""
    return to_grid(frame, mask.astype(np.float32)) >= 0.5  # noqa: PLR2004 - half


def grey(path: Path, *, aspect: float | None = None) -> FloatImage:
    """A picture as (rows, columns) float32; ``aspect`` takes a square stretch back."""
    with Image.open(path) as opened:
        return np.asarray(_unstretched(opened.convert("L"), aspect), dtype=np.float32)


def mask(path: Path, *, aspect: float | None = None) -> Mask:
    """A mask's picture as (rows, columns) bool, treated like its image."""
    with Image.open(path) as opened:
        return np.asarray(_unstretched(opened.convert("L"), aspect)) > 127  # noqa: PLR2004 - half of 255


def _unstretched(image: Image.Image, aspect: float | None) -> Image.Image:
    if aspect is None:
        return image
    return image.resize((round(image.height * aspect), image.height), Image.Resampling.BOX)
