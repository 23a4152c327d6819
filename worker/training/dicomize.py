"""Public pairs of low-energy with recombined pictures wrapped as CEM DICOM."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from pydicom.dataset import Dataset

from dicom_node.domain.identifiers import derive_uid
from dicom_node.errors import FapsNodeError
from worker.training.cem_dicom import CemImage, Dialect, Energy, cem_dataset, patient_orientation
from worker.training.register import FloatImage, apply, believable, register

# CDD-CESM: P3_L_DM_MLO.jpg is low energy, P3_L_CM_MLO.jpg recombined; some names end in a blank.
_NAME: Final = re.compile(
    r"(?P<patient>\w+?)_(?P<side>[LR])_(?P<kind>DM|CM)_(?P<view>[A-Z]+)\d*\s*"
)
_VIEWS: Final = ("CC", "MLO")
_ENERGIES: Final[tuple[Energy, ...]] = ("low_energy", "recombined")
_MAX_COLOUR = 12  # difference of channels that JPEG's own rounding explains
_MIN_SIDE = 512  # the node analyses nothing smaller
# GE Senographe's 0.1 mm: its 2850 rows fit the longest images of CDD-CESM, 0.07 mm would not.
DEFAULT_SPACING_MM: Final = 0.1
ACQUIRED = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)  # where no time is given: nothing reads a clock


class UnusablePicture(FapsNodeError):  # noqa: N818 -- says what it is
    """A picture that cannot become CEM DICOM; the message names it, the reason, what would help."""

    code = "unusable_picture"


@dataclass(frozen=True)
class Pair:
    """Two files of one view."""

    patient: str
    laterality: str
    view: str
    low_energy: Path
    recombined: Path


@dataclass(frozen=True)
class _How:
    dialect: Dialect
    spacing_mm: float
    patient_id: str | None
    patient_name: str | None
    study_per: Literal["patient", "side"]
    run: str
    acquired: datetime
    declare_lossy: bool


def dicomize(
    images: Sequence[Path],
    out: Path,
    *,
    dialect: Dialect = "standard",
    spacing_mm: float = DEFAULT_SPACING_MM,
    patient_id: str | None = None,
    patient_name: str | None = None,
    laterality: str | None = None,
    view: str | None = None,
    study_per: Literal["patient", "side"] = "patient",
    run: str = "",
    acquired: datetime = ACQUIRED,
    declare_lossy: bool = True,
) -> list[Path]:
    """Write one DICOM file per picture into ``out``; gives the files, low-energy before recombined.

    The recombined picture keeps its grid, so that masks drawn on it stay valid; the low-energy one
    is moved onto it. 8 bits become 12 of 4095 as mammography systems send them.

    Parameters
    ----------
    images
        Named as CDD-CESM does, in any order; or, with ``laterality`` and ``view``, exactly two:
        low-energy then recombined.
    spacing_mm
        Assumed: published pictures tell none. The objects say so.
    study_per
        ``patient`` puts all views of a patient into one study, ``side`` one breast.
    run
        Another word makes new studies of the same pictures.
    declare_lossy
        Write Lossy Image Compression 01 for JPEG sources (PS3.3 C.7.6.1.1.5). A node that refuses
        lossy images refuses these; False leaves the statement to the derivation text.

    Raises
    ------
    UnusablePicture
        Not a picture, real colour, too small, no partner, a name that cannot be read, or a pair
        that does not show the same breast.
    """
    pairs = _given(images, laterality, view) if laterality or view else pairs_of(images)
    how = _How(
        dialect, spacing_mm, patient_id, patient_name, study_per, run, acquired, declare_lossy
    )
    out.mkdir(parents=True, exist_ok=True)
    return [path for number, pair in enumerate(pairs) for path in _write(pair, number, out, how)]


def pairs_of(images: Iterable[Path]) -> list[Pair]:
    """Pair pictures by their names; every picture must find its partner."""
    found: dict[tuple[str, str, str], dict[str, Path]] = {}
    for path in images:
        match = _NAME.fullmatch(path.stem)
        if match is None or match["view"] not in _VIEWS:
            raise UnusablePicture(
                f"{path.name}: the name does not say patient, side, kind, view as in "
                "P3_L_DM_MLO.jpg; rename it, or give --laterality and --view with one pair"
            )
        group = found.setdefault((match["patient"], match["side"], match["view"]), {})
        if match["kind"] in group:
            raise UnusablePicture(
                f"{path.name}: {group[match['kind']].name} is already that view; give one of them"
            )
        group[match["kind"]] = path
    for (patient, side, view), group in found.items():
        if len(group) == 1:
            (kind, path), other = next(iter(group.items())), {"DM": "CM", "CM": "DM"}
            raise UnusablePicture(
                f"{path.name}: no partner; add {patient}_{side}_{other[kind]}_{view}{path.suffix}"
            )
    return [Pair(*key, group["DM"], group["CM"]) for key, group in sorted(found.items())]


def _given(images: Sequence[Path], laterality: str | None, view: str | None) -> list[Pair]:
    if laterality not in {"L", "R"} or view not in _VIEWS:
        raise UnusablePicture(
            f"laterality {laterality}, view {view}: give both, L or R with CC or MLO"
        )
    if len(images) != 2:  # noqa: PLR2004 -- a pair
        raise UnusablePicture(
            f"{len(images)} pictures with a fixed view: give two, low-energy then recombined"
        )
    return [Pair(images[0].stem.strip(), laterality, view, images[0], images[1])]


def grey(path: Path) -> npt.NDArray[np.uint8]:
    """The picture as (rows, columns) uint8; RGB only where its channels agree."""
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB") if picture.mode != "L" else picture)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise UnusablePicture(
            f"{path.name}: not a picture that can be read ({error}); give JPEG or PNG files"
        ) from error
    if pixels.ndim == 3:  # noqa: PLR2004 -- rows, columns, channels
        spread = pixels.max(axis=2).astype(np.int16) - pixels.min(axis=2)
        if np.percentile(spread, 99.9) > _MAX_COLOUR:
            raise UnusablePicture(
                f"{path.name}: a colour picture (channels differ by {int(spread.max())}); "
                "give the grey original without overlays"
            )
        pixels = pixels[:, :, 1]
    if min(pixels.shape) < _MIN_SIDE:
        raise UnusablePicture(
            f"{path.name}: {pixels.shape[1]} x {pixels.shape[0]} pixels; at least {_MIN_SIDE} "
            "each way are needed, give the full-size picture"
        )
    return np.ascontiguousarray(pixels)


def chest_wall_side(recombined: FloatImage) -> str:
    """``"left"`` or ``"right"``: the edge of the image that the breast touches more."""
    tissue = recombined > 0.03 * max(float(recombined.max()), 1.0)
    strip = max(1, tissue.shape[1] // 20)
    return "left" if tissue[:, :strip].sum() >= tissue[:, -strip:].sum() else "right"


def orientation_of(laterality: str, view: str, recombined: FloatImage) -> list[str]:
    """Patient Orientation that agrees with the pixels, whichever way the picture was published."""
    _, down = patient_orientation(laterality, view)
    return ["A" if chest_wall_side(recombined) == "left" else "P", down]


def _write(pair: Pair, number: int, out: Path, how: _How) -> list[Path]:
    recombined = grey(pair.recombined).astype(np.float32)
    low_energy = grey(pair.low_energy).astype(np.float32)
    found = register(low_energy, recombined)
    if not believable(found):
        raise UnusablePicture(
            f"{pair.low_energy.name} does not fit {pair.recombined.name} (best: {found}); check "
            "that both show the same breast in the same view and are not mirrored"
        )
    moved = apply(found, low_energy, (recombined.shape[0], recombined.shape[1]))
    told = f"Published 8-bit picture put on the recombined image's grid: {found}"
    files = [_image(pair, number, "low_energy", moved, told, how)]
    told = "Published 8-bit picture on its own grid"
    files.append(_image(pair, number, "recombined", recombined, told, how))
    for ds in files:
        ds.PatientOrientation = orientation_of(pair.laterality, pair.view, recombined)
    names = [f"{pair.patient}_{pair.laterality}_{pair.view}_{energy}.dcm" for energy in _ENERGIES]
    for ds, name in zip(files, names, strict=True):
        ds.save_as(out / name, enforce_file_format=True)
    return [out / name for name in names]


def _image(
    pair: Pair, number: int, energy: Energy, image: FloatImage, derivation: str, how: _How
) -> Dataset:
    """One picture, (rows, columns) float32 in 0..255, as data set."""
    study = [how.run, how.dialect, how.patient_id or pair.patient]
    study += [pair.laterality] if how.study_per == "side" else []
    view = [*study, pair.laterality, pair.view]
    # From names alone: the same pictures are the same study.
    study_uid = derive_uid("dicomize", "study", *study)
    order = _ENERGIES.index(energy)
    source = pair.recombined if order else pair.low_energy
    return cem_dataset(
        np.clip(image * (4095 / 255) + 0.5, 0, 4095).astype(np.uint16),
        CemImage(
            energy=energy,
            laterality=pair.laterality,
            view=pair.view,
            dialect=how.dialect,
            patient_id=how.patient_id or pair.patient,
            patient_name=how.patient_name or f"Public^{pair.patient}",
            study_uid=study_uid,
            series_uid=derive_uid("dicomize", "series", *view, energy),
            sop_uid=derive_uid("dicomize", "image", *view, energy),
            accession_number=f"PD{int(study_uid[5:]) % 10**12:012d}",
            spacing_mm=how.spacing_mm,
            acquired=how.acquired + timedelta(seconds=75 * number),
            started=how.acquired,
            source_uids=[derive_uid("dicomize", "image", *view, "low_energy")] if order else (),
            frame_of_reference_uid=derive_uid("dicomize", "compression", *view),
            series_number=2 * number + order + 1,
            manufacturer="FAPS Node dicomize",
            image_comments=f"Research use, published. Pixel spacing assumed: {how.spacing_mm} mm",
            exposure_known=False,
            derivation=derivation,
            lossy_ratio=_jpeg_ratio(source, image) if how.declare_lossy else None,
        ),
    )


def _jpeg_ratio(source: Path, image: FloatImage) -> float | None:
    """Bytes of the grey picture per byte of the file; None where the file lost nothing."""
    if source.suffix.strip().lower() not in {".jpg", ".jpeg"}:
        return None
    return max(1.0, image.size / source.stat().st_size)
