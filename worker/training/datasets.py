"""Public data in whichever layout a folder has."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from dicom_node.errors import UnsuitableExam
from worker.training import cdd_cesm, phantom_folder, tcia
from worker.training.public import PublicView


def views(root: Path) -> Iterator[PublicView]:
    """Every view below ``root``.

    Raises
    ------
    UnsuitableExam
        When the folder has none of the layouts that are known.
    """
    if phantom_folder.is_here(root):
        yield from phantom_folder.views(root)
    elif tcia.is_here(root):
        yield from tcia.views(root)
    elif any((root / name / "index.csv").exists() for name in ("pairs", "recombined")):
        parts = (cdd_cesm.pairs, cdd_cesm.full_resolution, cdd_cesm.recombined)
        yield from itertools.chain.from_iterable(part(root) for part in parts)
    else:
        raise UnsuitableExam(
            f"{root}: is no CDD-CESM folder; it has neither {tcia.SUBTRACTED!r} nor "
            "pairs/index.csv or recombined/index.csv, nor exams of `faps phantom`"
        )
