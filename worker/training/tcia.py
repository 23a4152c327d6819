"""Views of CDD-CESM (Khaled 2022, CC BY 4.0) as The Cancer Imaging Archive gives it out.

Pictures of every class in published size, low-energy with subtracted ones, regions drawn on each
picture for itself. Both pictures of a view were cropped by hand: the low-energy one is brought onto
the other's grid by the breast's outline, or left out where that is not to be believed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from dicom_node.errors import UnsuitableExam
from worker.contracts import FloatImage
from worker.training.public import Pathology, PublicView, grey
from worker.training.register import apply, believable, register
from worker.training.via import draw, read_regions

SUBTRACTED, LOW_ENERGY = "Subtracted images of CDD-CESM", "Low energy images of CDD-CESM"
REGIONS, LABELS = "Radiology_hand_drawn_segmentations_v2.csv", "Radiology-manual-annotations"
_NAME = re.compile(r"(P\d+)_([LR])_(?:CM|DM)_(CC|MLO)\d*\s*")
# Columns of the label sheet that reports use, under the names that they use.
COLUMNS = {"Age": "age", "BIRADS": "birads", "Findings": "findings", "Machine": "machine"}
DENSITY = "Breast density (ACR)"


def views(root: Path) -> Iterator[PublicView]:
    """Every view with a subtracted picture and a label.

    Raises
    ------
    UnsuitableExam
        When the label sheet is missing.
    """
    labels = _labels(root)
    regions = read_regions(root / REGIONS)
    low_energy = {path.stem.strip(): path for path in (root / LOW_ENERGY).glob("*.jpg")}
    for path in sorted((root / SUBTRACTED).glob("*.jpg")):
        stem = path.stem.strip()
        parts, label = _NAME.fullmatch(stem), labels.get(stem)
        if parts is None or label is None:
            continue
        image = grey(path)
        shape = image.shape[0], image.shape[1]
        low = low_energy.get(stem.replace("_CM_", "_DM_"))
        normal = label["pathology"] == "Normal"
        drawn = stem in regions or normal
        yield PublicView(
            name=f"{parts[1]}_{parts[2]}_{parts[3]}",
            patient=parts[1],
            source="tcia",
            recombined=image,
            low_energy=None if low is None else _registered(grey(low), image),
            mask=draw([] if normal else regions[stem], shape) if drawn else None,
            pathology=cast("Pathology", label["pathology"]),
            attributes=label,
        )


def _registered(low: FloatImage, recombined: FloatImage) -> FloatImage | None:
    found = register(low, recombined)
    shape = recombined.shape[0], recombined.shape[1]
    return apply(found, low, shape) if believable(found) else None


def _labels(root: Path) -> dict[str, dict[str, str]]:
    """Label of each picture by its name; density, known of low-energy rows alone, for both."""
    rows = [{k: str(v).strip() for k, v in row.items()} for row in _rows(root)]
    density = {row["Image_name"]: row[DENSITY] for row in rows if row[DENSITY] not in {"", "_"}}
    found = {}
    for row in rows:
        name = row["Image_name"]
        pathology = next(value for key, value in row.items() if key.startswith("Pathology"))
        found[name] = {ours: row[theirs] for theirs, ours in COLUMNS.items()}
        found[name] |= {
            "pathology": pathology.capitalize(),
            "density": density.get(name.replace("_CM_", "_DM_"), ""),
        }
    return found


def _rows(root: Path) -> list[Mapping[str, Any]]:
    """Rows of the label sheet, as a workbook or as CSV."""
    table = root / f"{LABELS}.csv"
    if table.exists():
        with table.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))
    book = root / f"{LABELS}.xlsx"
    if not book.exists():
        raise UnsuitableExam(f"{root}: there is no {LABELS}.xlsx or .csv; it holds the labels")
    from openpyxl import load_workbook  # noqa: PLC0415 - only this layout needs it

    sheet = load_workbook(book, read_only=True)["all"]
    header, *rest = sheet.iter_rows(values_only=True)
    names = [str(name).strip() for name in header]
    return [dict(zip(names, row, strict=True)) for row in rest if row[0] is not None]


def is_here(root: Path) -> bool:
    """Whether ``root`` has this layout."""
    return (root / SUBTRACTED).is_dir()
