"""Samples from a folder of CDD-CESM (Khaled 2022, CC BY 4.0), as pairs or recombined alone."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from dicom_node.errors import UnsuitableExam
from worker.contracts import FloatImage, Frame, Mask
from worker.exam.frame import to_grid
from worker.exam.pixels import OUTSIDE, prepare_arrays
from worker.training.register import apply, register
from worker.training.sample import Sample, blanked

# Two tenths of the patients are never trained on, one tenth fixes thresholds and calibration.
# P3, the one patient of whom both images lie beside the set in full resolution, shows people the
# whole path on real images: trained on, so never a measure of anything.
SHOWN = frozenset({"P3"})
TEST, VALIDATION = (0, 1), (2,)
# Least overlap of the lesion's masks on the two images of a pair: below it they lie apart (the
#  images are cropped by hand, not registered; no silhouette alignment was found to help).
LEAST_OVERLAP = 0.3
# Width over height, median of those images whose original size is known. All are unstretched alike:
# the size is known for malignant images only, so using it would tell the classes apart.
ASPECT = {"CC": 0.57, "MLO": 0.52}


def split_of(patient: str) -> str:
    """``"train"``, ``"validation"`` or ``"test"``, always the same for a patient.

    >>> split_of("P3"), split_of("P105") == split_of("P105")
    ('train', True)
    """
    tenth = zlib.crc32(patient.encode()) % 10
    if patient in SHOWN:
        return "train"
    if tenth in TEST:
        return "test"
    return "validation" if tenth in VALIDATION else "train"


def pairs(root: Path, split: str) -> Iterator[Sample]:
    """Low-energy and recombined images of one view with the mask drawn on the recombined one.

    A pair whose two masks lie apart keeps its recombined image only.
    """
    views: dict[str, dict[str, dict[str, str]]] = {}
    for row in _index(root / "pairs"):
        if split_of(row["patient"]) == split:
            views.setdefault(row["view_key"], {})[row["modality"]] = row
    for name, found in sorted(views.items()):
        if set(found) != {"LE", "CM"}:
            continue
        low_name, rec_name = found["LE"]["image"], found["CM"]["image"]
        low, rec = (_grey(root / "pairs/images" / f"{n}.jpg") for n in (low_name, rec_name))
        low_mask, mask = (_mask(root / "pairs/masks" / f"{n}.png") for n in (low_name, rec_name))
        apart = (low_mask & mask).sum() < LEAST_OVERLAP * (low_mask | mask).sum()
        sample = _sample(name, found["CM"]["patient"], rec if apart else low, rec, mask)
        if sample is not None:
            yield _without_low_energy(sample) if apart else sample


def full_resolution(root: Path, split: str) -> Iterator[Sample]:
    """Pairs in the published size, the low-energy image brought onto the recombined one's grid."""
    for path in sorted((root / "fullres").glob("*_DM_*.jpg")):
        name = path.stem.replace("_DM_", "_CM_")
        patient = name.partition("_")[0]
        if split_of(patient) != split:
            continue
        rec = _grey(path.with_name(f"{name}.jpg"))
        mask = _mask(path.with_name(f"{name}_mask.png"))
        low = _grey(path)
        rows, columns = rec.shape
        sample = _sample(name, patient, apply(register(low, rec), low, (rows, columns)), rec, mask)
        if sample is not None:
            yield sample


def recombined(root: Path, split: str) -> Iterator[Sample]:
    """Recombined images alone, labelled for the whole image; none of them has a mask here.

    ``malignant`` is None for normal images, whose ``lesion`` is empty: known to be absent.
    """
    for row in _index(root / "recombined"):
        if split_of(row["patient"]) != split:
            continue
        rec = _grey(root / "recombined/images" / f"{row['image']}.jpg", aspect=ASPECT[row["view"]])
        sample = _sample(row["image"], row["patient"], rec, rec, None)
        if sample is None:
            continue
        normal = row["pathology"] == "Normal"
        yield replace(
            _without_low_energy(sample),
            malignant=None if normal else row["pathology"] == "Malignant",
            lesion=np.zeros(sample.image.shape[1:], dtype=np.bool_) if normal else None,
        )


def _sample(
    name: str, patient: str, low: FloatImage, rec: FloatImage, mask: Mask | None
) -> Sample | None:
    """A prepared sample; None when no breast is found in it."""
    try:
        view = prepare_arrays(low, rec)
    except UnsuitableExam:
        return None
    return Sample(
        group=patient,
        name=name,
        domain="cdd_cesm",
        image=view.image.astype(np.float16),
        lesion=None if mask is None else mask_on_grid(mask, view.frame),
        malignant=None if mask is None else True,
        has_low_energy=True,
        frame=view.frame,
    )


def mask_on_grid(mask: Mask, frame: Frame) -> Mask:
    """A source mask (rows, columns) on the network grid (H, W): pixels that are half covered."""
    return to_grid(frame, mask.astype(np.float32)) >= 0.5  # noqa: PLR2004 - half


def _without_low_energy(sample: Sample) -> Sample:
    """The same view as if only its recombined image were known."""
    image = blanked(sample.image.astype(np.float32), OUTSIDE).astype(np.float16)
    return replace(sample, image=image, has_low_energy=False)


def _index(folder: Path) -> list[dict[str, str]]:
    """Rows of the folder's ``index.csv``."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _grey(path: Path, *, aspect: float | None = None) -> FloatImage:
    """A JPEG as (rows, columns) float32; ``aspect`` takes a square stretch back."""
    with Image.open(path) as opened:
        image = opened.convert("L")
        if aspect is not None:
            image = image.resize((round(image.height * aspect), image.height), Image.Resampling.BOX)
        return np.asarray(image, dtype=np.float32)


def _mask(path: Path) -> Mask:
    """A mask PNG as (rows, columns) bool."""
    with Image.open(path) as opened:
        return np.asarray(opened.convert("L")) > 127  # noqa: PLR2004 - half of 255
