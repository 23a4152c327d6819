"""Another woman's low-energy image fitted into a breast.

Public low-energy images exist for malignant breasts alone: a network that sees them would take
their presence for the disease. So some breasts of either kind are shown with a stranger's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from worker.contracts import FloatImage, Mask
from worker.exam.pixels import OUTSIDE

DARKEST = OUTSIDE + 1e-2  # of borrowed tissue: what is inside a breast is not air


def borrowed(breast: FloatImage, donor: FloatImage) -> FloatImage:
    """``donor`` (H, W), a low-energy image, in the outline of ``breast`` (H, W).

    Both with the chest wall on the left, as ``prepare`` gives them. Rows are taken from top to
    bottom, each is stretched from the chest wall to the skin.
    """
    inside, given = breast > OUTSIDE, donor > OUTSIDE
    rows, sources = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(given.any(axis=1))
    fitted = np.full_like(breast, OUTSIDE)
    if not rows.size or not sources.size:
        return fitted
    lengths, widths = _widths(inside), _widths(given)
    taken = np.linspace(sources[0], sources[-1], rows.size).astype(int)
    columns = np.arange(donor.shape[1])
    for row, source in zip(rows, taken, strict=True):
        at = (np.arange(lengths[row]) + 0.5) / lengths[row] * max(widths[source], 1) - 0.5
        fitted[row, : lengths[row]] = np.interp(at, columns, donor[source])
    return np.where(inside, np.maximum(fitted, np.float32(DARKEST)), np.float32(OUTSIDE))


def _widths(inside: Mask) -> npt.NDArray[np.intp]:
    """Columns from the left edge to the last that is inside, for each row."""
    return np.where(inside.any(axis=1), inside.shape[1] - inside[:, ::-1].argmax(axis=1), 0)
