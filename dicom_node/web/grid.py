"""The exam grid: breast by view, each with its low-energy and its recombined image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dicom_node.domain.study import GridCell
from dicom_node.web.words import SIDES


@dataclass(frozen=True)
class GridRow:
    """One breast; a cell is ``None`` where the view is neither expected nor received."""

    side: str
    cells: tuple[GridCell | None, ...]


@dataclass(frozen=True)
class ExamGrid:
    """Views as columns, breasts as rows."""

    views: tuple[str, ...]
    rows: tuple[GridRow, ...]
    paired: int
    started: int


def exam_grid(cells: Sequence[GridCell]) -> ExamGrid:
    """The cells of a study, laid out for a table."""
    named = {tuple(cell.name.split(" ", 1)): cell for cell in cells}
    views = tuple(dict.fromkeys(view for _, view in named))
    sides = dict.fromkeys(side for side, _ in named)
    return ExamGrid(
        views=tuple("view unknown" if view == "?" else view for view in views),
        rows=tuple(
            GridRow(
                SIDES.get(side, "Side unknown" if side == "?" else side),
                tuple(named.get((side, view)) for view in views),
            )
            for side in sides
        ),
        paired=sum(cell.paired for cell in cells),
        started=len(cells),
    )
