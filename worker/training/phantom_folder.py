"""Synthetic exams that ``faps phantom`` wrote, as training and evaluation read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom import dcmread

from dicom_node.errors import UnsuitableExam
from worker.decoder import decode_apart
from worker.exam.pixels import read_source
from worker.training.public import PublicView

TRUTH, SOURCE = "truth.json", "phantom"


def is_here(root: Path) -> bool:
    """Whether there is such an exam below ``root``."""
    return next(root.rglob(TRUTH), None) is not None


def views(root: Path) -> Iterator[PublicView]:
    """Every view of every exam below ``root``; each seed is a patient.

    Raises
    ------
    UnsuitableExam
        When a view's masks are missing.
    """
    for path in sorted(root.rglob(TRUTH)):
        truth = json.loads(path.read_text(encoding="utf-8"))
        for view in truth["views"]:
            name = f"{view['laterality']}_{view['view']}"
            masks = path.with_name(f"{name}_masks.npz")
            if not masks.exists():
                raise UnsuitableExam(
                    f"{masks}: is missing; write the exams with this `faps phantom`"
                )
            with np.load(masks) as kept:
                lesions = kept["lesions"]
            low_energy, recombined = (
                read_source(dcmread(path.with_name(f"{name}_{energy}.dcm")), decode_apart).pixels
                for energy in ("low_energy", "recombined")
            )
            kind = {None: "Normal", True: "Malignant", False: "Benign"}[view["malignant"]]
            yield PublicView(
                name=f"PHANTOM-{truth['seed']}_{name}",
                patient=f"phantom-{truth['seed']}",
                source=SOURCE,
                low_energy=low_energy,
                recombined=recombined,
                mask=lesions.any(axis=0) if len(lesions) else np.zeros(recombined.shape, np.bool_),
                pathology=kind,  # type: ignore[arg-type]  # one of the three
            )
