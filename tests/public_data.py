"""Folders laid out as public data sets are, with made-up breasts in them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

LABELS = (
    ("P1", "L", "Malignant"),
    ("P1", "R", "Normal"),
    ("P2", "L", "Benign"),
    ("P3", "R", "Malignant"),
    ("P4", "L", "Normal"),
    ("P5", "R", "Benign"),
)
CENTRE, RADIUS = (0.5, 0.4), 0.09  # of rows and columns; of the rows


def breast(seed: int, shape: tuple[int, int], *, side: str, lesion: float) -> np.ndarray:
    """Half an ellipse against the chest wall, a disc in it ``lesion`` grey levels brighter."""
    rng = np.random.default_rng(seed)
    rows, columns = shape
    y, x = np.mgrid[:rows, :columns]
    x = x if side == "L" else columns - 1 - x
    inside = ((y - rows / 2) / (0.46 * rows)) ** 2 + (x / (0.9 * columns)) ** 2 < 1
    image = np.where(inside, 90 + rng.normal(0, 8, shape), 0)
    image[disc(shape, side)] += lesion
    return np.clip(image, 0, 255).astype(np.uint8)


def disc(shape: tuple[int, int], side: str) -> np.ndarray:
    rows, columns = shape
    y, x = np.mgrid[:rows, :columns]
    column = CENTRE[1] * columns if side == "L" else (1 - CENTRE[1]) * columns
    return (y - CENTRE[0] * rows) ** 2 + (x - column) ** 2 < (RADIUS * rows) ** 2


def write_prepared(root: Path) -> Path:
    """``pairs/`` of malignant breasts, ``recombined/`` of all: prepared for training."""
    pairs, single = [], []
    for seed, (patient, side, pathology) in enumerate(LABELS):
        for view in ("CC", "MLO"):
            bright = {"Malignant": 120.0, "Benign": 50.0, "Normal": 0.0}[pathology]
            rec = breast(seed, (512, 512), side=side, lesion=bright)
            name = f"{patient}_{side}_CM_{view}"
            _save(root / "recombined/images" / f"{name}.jpg", rec)
            row = {"image": name, "patient": patient, "side": side, "view": view}
            row |= {"pathology": pathology, "birads": "4", "age": "50", "machine": "1"}
            single.append(row)
            if pathology != "Malignant":
                continue
            mask = disc((512, 512), side).astype(np.uint8) * 255
            _save(root / "recombined/masks" / f"{name}.png", mask)
            for kind, modality, image in (
                ("CM", "CM", breast(seed, (512, 512), side=side, lesion=bright)),
                ("DM", "LE", breast(seed + 50, (512, 512), side=side, lesion=20)),
            ):
                drawn = f"{patient}_{side}_{kind}_{view}"
                _save(root / "pairs/images" / f"{drawn}.jpg", image)
                _save(root / "pairs/masks" / f"{drawn}.png", mask)
                key = f"{patient}_{side}_{view}"
                pairs.append(
                    {**row, "image": drawn, "view_key": key, "modality": modality, "density": "_"}
                )
    _table(root / "pairs/index.csv", pairs)
    _table(root / "recombined/index.csv", single)
    return root


def write_tcia(root: Path) -> Path:
    """The layout in which The Cancer Imaging Archive gives CDD-CESM out, its quirks included."""
    regions, labels = [], []
    for seed, (patient, side, pathology) in enumerate(LABELS):
        shape = (700, 420)
        bright = {"Malignant": 120.0, "Benign": 50.0, "Normal": 0.0}[pathology]
        for kind, folder, lesion in (
            ("CM", "Subtracted images of CDD-CESM", bright),
            ("DM", "Low energy images of CDD-CESM", bright / 4),
        ):
            stem = f"{patient}_{side}_{kind}_MLO"
            blank = " " if patient == "P2" else ""  # some names end in a blank
            image = breast(seed, shape, side=side, lesion=lesion)
            _save(root / folder / f"{stem}{blank}.jpg", image)
            labels.append(_label(stem, patient, side, kind, pathology))
            if pathology != "Normal":
                regions.append(_region(f"{stem}{blank}.jpg", shape, side))
    _table(root / "Radiology_hand_drawn_segmentations_v2.csv", regions)
    _table(root / "Radiology-manual-annotations.csv", labels)
    return root


def _label(stem: str, patient: str, side: str, kind: str, pathology: str) -> dict[str, str]:
    return {
        "Image_name": stem,
        "Patient_ID": patient[1:],
        "Side": side,
        "Type": "DM" if kind == "DM" else "CESM",
        "Age": "51",
        "Breast density (ACR)": "C" if kind == "DM" else "_",
        "BIRADS": "4$2",
        "Findings": "mass",
        "View": "MLO",
        "Tags": "",
        "Machine": "1",
        "Pathology Classification/ Follow up": pathology,
    }


def _region(file: str, shape: tuple[int, int], side: str) -> dict[str, str]:
    column = CENTRE[1] * shape[1] if side == "L" else (1 - CENTRE[1]) * shape[1]
    circle = {"name": "circle", "cx": column, "cy": CENTRE[0] * shape[0], "r": RADIUS * shape[0]}
    return {"#filename": file, "region_shape_attributes": json.dumps(circle)}


def _save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"quality": 95} if path.suffix == ".jpg" else {}
    Image.fromarray(image).save(path, **options)


def _table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
