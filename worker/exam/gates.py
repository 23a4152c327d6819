"""What keeps a breast from the classifier: no guess outside the intended use (faps.md §6.5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from worker.contracts import Gate, Lesion, ViewResult
from worker.exam.lesions import MOST_LESIONS

SMALLEST_MM, LARGEST_MM = 4.0, 60.0  # of the long axis: sizes that masses of the paper's women had
AT_EDGE = 0.25  # share of an outline on the image's edge from which the lesion is cut off
EDGE_PX = 1.5  # source pixels that count as the edge


def gate_of(views: Sequence[ViewResult]) -> Gate | None:
    """The first reason why one breast's lesions are outlined and not classified; None: they are.

    ``views`` are those of the breast in which a lesion was found. The gate for no lesion at all
    comes before: it is part of the outlining.
    """
    return next((gate for view in views for gate in _of_view(view)), None)


def _of_view(view: ViewResult) -> Iterator[Gate]:
    name = view.pair.name
    if view.gate == "many_lesions":
        yield Gate(
            "many_lesions",
            f"{name}: more than {MOST_LESIONS} lesions; the model is meant for a single mass",
        )
    largest = view.lesions[0]
    size = largest.long_axis_mm
    if size is not None and not SMALLEST_MM <= size <= LARGEST_MM:
        yield Gate(
            "lesion_size",
            f"{name}: a long axis of {size:.1f} mm; the model is meant for {SMALLEST_MM:g} to "
            f"{LARGEST_MM:g} mm",
        )
    share = edge_share(largest)
    if share >= AT_EDGE:
        yield Gate(
            "lesion_at_edge",
            f"{name}: {share:.0%} of the lesion's outline lies on the edge of the image, which "
            "cuts it off",
        )


def edge_share(lesion: Lesion) -> float:
    """Share of a lesion's outline that lies on the edge of the image, in [0, 1]."""
    rows, columns = lesion.mask.shape
    x, y = lesion.outline[:-1].T
    at_edge = (x < EDGE_PX) | (x > columns - EDGE_PX) | (y < EDGE_PX) | (y > rows - EDGE_PX)
    return float(np.mean(at_edge))
