"""Where the cells of a trunk's last map lie in the image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cells:
    """Where the cells of a trunk's last map lie in a crop, in pixels from its edge.

    Strides and padding decide: the first cell looks at ``first`` and not at the middle of the first
    ``step`` pixels. A map laid evenly over the crop would lie up to half a step beside its lesion.
    """

    first: float
    step: float
