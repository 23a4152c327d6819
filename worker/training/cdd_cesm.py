"""Views of CDD-CESM (Khaled 2022, CC BY 4.0) out of a folder that was prepared for training.

``pairs/`` holds low-energy with recombined images of malignant breasts, ``recombined/`` recombined
images of every class, ``fullres/`` a few in published size. Never take one class from one folder
and another from the other: a network would learn the folder.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np

from worker.training.public import Pathology, PublicView, grey, mask
from worker.training.register import apply, register

# Width over height, median of those images whose original size is known. All are unstretched alike:
# the size is known for malignant images only, so using it would tell the classes apart.
ASPECT = {"CC": 0.57, "MLO": 0.52}


def pairs(root: Path) -> Iterator[PublicView]:
    """Low-energy and recombined images of one view with the mask drawn on the recombined one.

    Both lie in one frame, but were cropped by hand and are not registered.
    """
    views: dict[str, dict[str, dict[str, str]]] = {}
    for row in _index(root / "pairs"):
        views.setdefault(row["view_key"], {})[row["modality"]] = row
    for name, found in sorted(views.items()):
        if set(found) != {"LE", "CM"}:
            continue
        low, rec = (found[m]["image"] for m in ("LE", "CM"))
        yield PublicView(
            name=name,
            patient=found["CM"]["patient"],
            source="pairs",
            low_energy=grey(root / "pairs/images" / f"{low}.jpg"),
            recombined=grey(root / "pairs/images" / f"{rec}.jpg"),
            mask=mask(root / "pairs/masks" / f"{rec}.png"),
            pathology=cast("Pathology", found["CM"]["pathology"]),
            attributes={**found["CM"], "density": found["LE"]["density"].strip("_")},
        )


def full_resolution(root: Path) -> Iterator[PublicView]:
    """Pairs in the published size, the low-energy image brought onto the recombined one's grid."""
    pathology = {row["image"]: row["pathology"] for row in _index(root / "recombined")}
    for path in sorted((root / "fullres").glob("*_DM_*.jpg")):
        name = path.stem.replace("_DM_", "_CM_")
        rec, low = grey(path.with_name(f"{name}.jpg")), grey(path)
        yield PublicView(
            name=path.stem.replace("_DM_", "_"),
            patient=name.partition("_")[0],
            source="fullres",
            low_energy=apply(register(low, rec), low, (rec.shape[0], rec.shape[1])),
            recombined=rec,
            mask=mask(path.with_name(f"{name}_mask.png")),
            pathology=cast("Pathology", pathology.get(name, "Malignant")),
        )


def recombined(root: Path) -> Iterator[PublicView]:
    """Recombined images alone, labelled for the whole image; benign ones have no mask."""
    for row in _index(root / "recombined"):
        name, aspect = row["image"], ASPECT[row["view"]]
        image = grey(root / "recombined/images" / f"{name}.jpg", aspect=aspect)
        drawn = root / "recombined/masks" / f"{name}.png"
        truth = np.zeros(image.shape, dtype=np.bool_) if row["pathology"] == "Normal" else None
        yield PublicView(
            name=name.replace("_CM_", "_"),
            patient=row["patient"],
            source="recombined",
            recombined=image,
            mask=mask(drawn, aspect=aspect) if drawn.exists() else truth,
            pathology=cast("Pathology", row["pathology"]),
            attributes=row,
        )


def _index(folder: Path) -> list[dict[str, str]]:
    """Rows of the folder's ``index.csv``; none where there is no such folder."""
    if not (folder / "index.csv").exists():
        return []
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
