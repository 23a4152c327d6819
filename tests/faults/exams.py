"""Small exams as files, with what a modality knows of them: UID and hash of each data set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from pydicom import dcmwrite

from dicom_node.domain.identifiers import derive_uid
from tests.faults.ledgers import CANARY, data_set_hash
from worker.training.cem_dicom import CemImage, cem_dataset

SIDE = 512  # the least that the analysis takes
TINY = 96  # too small for it: such an exam is found unsuitable, and only its report travels


@dataclass(frozen=True)
class Image:
    """One file to send."""

    path: Path
    study: str
    uid: str
    sha256: str  # of the data set, without preamble and meta information


@dataclass(frozen=True)
class Exam:
    """One study's images and what the modality does with them."""

    study: str
    images: tuple[Image, ...]
    late: tuple[Image, ...] = ()  # sent when the first results are there


def make_exam(folder: Path, name: str, rng: Random, *, tiny: bool = False, **changes: Any) -> Exam:
    """A low-energy and a recombined image of one view, as a study of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    images = tuple(
        _image(folder, name, energy, rng, TINY if tiny else SIDE, **changes)
        for energy in ("low_energy", "recombined")
    )
    return Exam(images[0].study, images)


def with_other_bytes(exam: Exam, folder: Path, rng: Random) -> Exam:
    """The same exam with its last image sent once more, under the same UID with other pixels."""
    old = exam.images[-1]
    from pydicom import dcmread

    ds = dcmread(old.path)
    pixels = bytearray(ds.PixelData)
    pixels[rng.randrange(0, len(pixels), 2)] ^= 1
    ds.PixelData = bytes(pixels)
    return replace(exam, images=(*exam.images, _written(ds, folder / f"{old.path.stem}-again.dcm")))


def with_two_patients(exam: Exam, folder: Path) -> Exam:
    """The same exam with its last image under another Patient ID."""
    old = exam.images[-1]
    from pydicom import dcmread

    ds = dcmread(old.path)
    ds.PatientID = f"{CANARY}-other"
    image = _written(ds, folder / f"{old.path.stem}-other.dcm")
    return replace(exam, images=(*exam.images[:-1], image))


def _image(folder: Path, name: str, energy: Any, rng: Random, side: int, **changes: Any) -> Image:
    noise = np.random.default_rng(rng.randrange(2**32)).random((side // 16, side // 16))
    pixels = np.kron(noise * 1000 + 1000, np.ones((16, 16))).astype(np.uint16)
    pixels[:, int(side * 0.8) :] = 0
    view = {"laterality": "L", "view": "CC", **changes}
    image = CemImage(
        energy=energy,
        **view,
        patient_id=f"{CANARY}-{name}",
        patient_name=f"{CANARY}^{name}",
        study_uid=derive_uid("faults", name),
        series_uid=derive_uid("faults", name, energy, view["view"]),
        sop_uid=derive_uid("faults", name, energy, view["view"], "sop"),
        accession_number=f"F{name}"[:16],
        spacing_mm=0.4,
        acquired=datetime(2026, 3, 1, 11, tzinfo=UTC),
        frame_of_reference_uid=derive_uid("faults", name, view["view"], "frame"),
    )
    return _written(cem_dataset(pixels, image), folder / f"{energy}-{view['view']}.dcm")


def _written(ds: Any, path: Path) -> Image:
    buffer = BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    content = buffer.getvalue()
    path.write_bytes(content)
    return Image(path, str(ds.StudyInstanceUID), str(ds.SOPInstanceUID), data_set_hash(content))
