"""Makes small but legal analyses."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Items
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from skimage.measure import find_contours

from dicom_node.domain.exam import Excluded, ViewPair
from dicom_node.domain.identifiers import derive_uid
from dicom_node.domain.instance import ImageKind, InstanceHeader
from tests.mammogram_headers import COLUMNS, MG_FOR_PRESENTATION, ROWS, header
from worker.contracts import (
    Analysis,
    Finding,
    Frame,
    Lesion,
    ModelCard,
    ResultObject,
    RunIdentity,
    Status,
    ViewResult,
)
from worker.report.encode import encode

CARD = ModelCard(
    name="FAPS",
    version="0.1.0",
    uuid="8f6e0f3e-6e0c-5a41-9c9b-0a6e8f1f2d11",
    sha256="0123456789abcdef" * 4,
    family="RefineNet-LW18 + Xception-PPM",
    thresholds={"lesion_gate": 0.6, "segment": 0.5, "malignant": 0.42},
    statement="Trained on public images and phantoms, for research",
)
CREATED_AT = datetime(2026, 3, 4, 5, 6, 7, 89000, tzinfo=timezone(timedelta(hours=1)))


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A round lesion with wavy edge: centre (column, row) and radius in pixels."""

    x: float = 250.5
    y: float = 380.25
    radius: float = 45.0


@cache
def lesion(spot: Spot, shape: tuple[int, int], spacing: tuple[float, float] | None) -> Lesion:
    """A lesion with mask and outline on an image of ``shape``."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    angle = np.arctan2(rows + 0.5 - spot.y, columns + 0.5 - spot.x)
    reach = spot.radius * (1 + 0.2 * np.sin(5 * angle) + 0.06 * np.sin(13 * angle))
    mask = np.hypot(rows + 0.5 - spot.y, columns + 0.5 - spot.x) < reach
    contour = max(find_contours(np.pad(mask, 1).astype(float), 0.5), key=len)
    outline = contour[:, ::-1] - 1 + 0.5
    area_px = int(mask.sum())
    ends = ((spot.x - spot.radius, spot.y), (spot.x + spot.radius, spot.y))
    return Lesion(
        mask=mask,
        outline=outline,
        area_mm2=None if spacing is None else area_px * spacing[0] * spacing[1],
        long_axis_mm=None if spacing is None else 2 * spot.radius * spacing[1],
        long_axis=ends,
        area_px=area_px,
        peak_probability=0.93,
    )


def instance_header(ds: Dataset, kind: ImageKind) -> InstanceHeader:
    """What the node keeps of ``ds``, as far as a report reads it."""
    return InstanceHeader(
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        study_instance_uid=str(ds.StudyInstanceUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        kind=kind,
    )


def view_result(
    laterality: str = "R",
    view: str = "CC",
    spots: Items[Spot] = (Spot(),),
    *,
    weak: bool = False,
    spacing_rule: str = "magnification",
    shape: tuple[int, int] = (ROWS, COLUMNS),
    **attributes: Any,
) -> ViewResult:
    """One analysed view; ``attributes`` go to both headers."""
    low_energy = header(laterality, view, recombined=False, shape=shape, **attributes)
    recombined = header(laterality, view, shape=shape, **attributes)
    spacing = None if spacing_rule == "none" else (0.28 / 1.0625, 0.28 / 1.0625)
    grid = (512, 256)
    return ViewResult(
        pair=ViewPair(
            laterality=laterality,
            view=view,
            low_energy=instance_header(low_energy, ImageKind.LOW_ENERGY),
            recombined=instance_header(recombined, ImageKind.RECOMBINED),
            evidence="nearest acquisition time" if weak else "source image sequence",
            weak=weak,
        ),
        low_energy=low_energy,
        recombined=recombined,
        frame=Frame(
            shape, grid, 0, 0, shape[0], shape[1], grid[0] / shape[0], 0.0, 0.0, laterality == "R"
        ),
        lesions=tuple(lesion(spot, shape, spacing) for spot in spots),
        heat_map=np.full(grid, 0.5, dtype=np.float32) if spots else None,
        gate="lesion" if spots else "no_lesion",
        spacing_mm=spacing,
        spacing_rule=spacing_rule,
    )


def finding(
    laterality: str, *views: ViewResult, p: float | None = 0.8731, decision: str = "malignant"
) -> Finding:
    """One breast; without a lesion in any view it is negative whatever ``p`` says."""
    if not any(view.lesions for view in views):
        return Finding(laterality, views, None, "no_lesion")
    return Finding(laterality, views, p, decision)


def analysis(*findings: Finding, **changes: Any) -> Analysis:
    """A complete analysis of ``findings``; ``changes`` overwrite its fields."""
    headers = tuple(
        ds for f in findings for v in f.views for ds in (v.low_energy, v.recombined)
    ) or (header(),)
    made = Analysis(
        run=RunIdentity(str(headers[0].StudyInstanceUID), "input-hash", 1, CREATED_AT),
        status=Status.COMPLETE,
        reason="",
        reason_code="",
        findings=findings,
        excluded=(),
        missing=(),
        headers=headers,
        card=CARD,
        seconds={"decode": 0.5, "segment": 1.25},
    )
    return replace(made, **changes)


def right_breast(*spots: Spot, **attributes: Any) -> Finding:
    """Right breast with the lesions ``spots`` (default: one) in CC and MLO."""
    spots = spots or (Spot(),)
    return finding(
        "R",
        view_result("R", "CC", spots, **attributes),
        view_result("R", "MLO", spots, **attributes),
    )


def negative_breast(laterality: str, **attributes: Any) -> Finding:
    """A breast with CC and MLO and nothing in them."""
    return finding(
        laterality,
        view_result(laterality, "CC", (), **attributes),
        view_result(laterality, "MLO", (), **attributes),
    )


def encoded(made: Analysis) -> tuple[ResultObject, ...]:
    """Every object of ``made``, encoded once only however often one test asks."""
    for known, results in _encoded:
        if known is made:
            return results
    results = encode(replace(made, run=replace(made.run, label_maps=True)))
    _encoded.append((made, results))
    return results


def ways_it_can_end() -> dict[str, Analysis]:
    """One analysis for every shape of result, by what it is."""
    both = (right_breast(), finding("L", view_result("L", "CC"), p=0.2, decision="benign"))
    unsuitable = {
        "status": Status.UNSUITABLE,
        "reason": "No low-energy and recombined pair was found",
        "reason_code": "no_cem_pair",
        "excluded": (Excluded(header().SOPInstanceUID, "no_low_energy", "No low-energy image"),),
    }
    return {
        "positive one breast": analysis(right_breast(), negative_breast("L")),
        "positive both breasts": analysis(*both),
        "two lesions": analysis(right_breast(Spot(), Spot(x=420.0, y=600.0, radius=20.0))),
        "negative": analysis(negative_breast("R"), negative_breast("L")),
        "partial": analysis(
            finding("R", view_result("R", "CC")),
            status=Status.PARTIAL,
            reason="R MLO has no low-energy image",
            reason_code="incomplete",
            missing=("R MLO: low-energy image", "L CC: both images"),
        ),
        "unsuitable": analysis(**unsuitable),
        "failed": analysis(
            status=Status.FAILED,
            reason="The pixels of R CC are damaged",
            reason_code="pixel_decode",
        ),
        "failed without an image": analysis(
            headers=(bare_header(),),
            status=Status.FAILED,
            reason="Nothing readable",
            reason_code="no_image",
        ),
        "GE dialect": analysis(right_breast(ge=True)),
        "MONOCHROME1": analysis(right_breast(PhotometricInterpretation="MONOCHROME1")),
        "no spacing": analysis(
            right_breast(spacing_rule="none", ImagerPixelSpacing=None, weak=True)
        ),
        "a sparse header": analysis(right_breast(**SPARSE)),
        "Japanese name": analysis(right_breast(**JAPANESE)),
        "UTF-8 name": analysis(right_breast(**CYRILLIC)),
    }


def bare_header() -> Dataset:
    """A header with nothing but identifiers, as of a damaged file."""
    ds = Dataset()
    ds.SOPClassUID = MG_FOR_PRESENTATION
    ds.SOPInstanceUID, ds.SeriesInstanceUID = derive_uid("test", "bare"), derive_uid("test", "b")
    ds.StudyInstanceUID = derive_uid("test", "study")
    return ds


SPARSE = dict.fromkeys(
    ("AccessionNumber", "StudyID", "StudyTime", "PatientSex", "PatientBirthDate",
     "ReferringPhysicianName", "PatientOrientation", "FrameOfReferenceUID",
     "PositionReferenceIndicator", "ViewCodeSequence")
)  # fmt: skip
JAPANESE = {
    "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
    "PatientName": "Yamada^Hanako=\u5c71\u7530^\u82b1\u5b50=\u3084\u307e\u3060^\u306f\u306a\u3053",
    "StudyDescription": "\u4e73\u623f",
}
CYRILLIC = {
    "SpecificCharacterSet": "ISO_IR 192",
    "PatientName": "\u041f\u0435\u0442\u0440\u043e\u0432\u0430^\u0410\u043d\u043d\u0430",
    "StudyDescription": "\u041c\u0430\u043c\u043c\u043e\u0433\u0440\u0430\u0444\u0438\u044f",
    "TimezoneOffsetFromUTC": "+0300",
}

WAYS = ways_it_can_end()
# The analyses encoded last with their objects, told apart by identity: arrays have no hash.
_encoded: deque[tuple[Analysis, tuple[ResultObject, ...]]] = deque(maxlen=2 * len(WAYS))
