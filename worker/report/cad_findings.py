"""Lesions as mammography workstations mark them: a centre, an outline, a probability."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from worker.contracts import Analysis, Finding, Lesion, Mask
from worker.report import codes, content
from worker.report.cad_library import Library
from worker.report.groups import algorithm_texts, tracked
from worker.report.identity import NamedView, named_views, result_uid, tracking
from worker.report.outline import thin
from worker.report.wording import percent

_JOINED_VIEWS = ["CC", "MLO"]


def impressions(analysis: Analysis, library: Library) -> Iterator[Dataset]:
    """TID 4003, one for each breast with a lesion.

    One lesion in CC and one in MLO are joined as what they most likely are: one lesion seen twice.
    With more of them nobody has said which belongs to which, so each stands for itself.
    """
    views = list(named_views(analysis))
    for finding in analysis.findings:
        own = [view for view in views if view.finding is finding]
        marks = [
            (view, number, lesion)
            for view in own
            for number, lesion in enumerate(view.result.lesions, start=1)
        ]
        if not marks:
            continue
        joined = sorted(view.result.pair.view for view, _, _ in marks) == _JOINED_VIEWS
        relation = content.INFERRED_FROM if joined else content.CONTAINS
        items = [
            _single_image_finding(analysis, library, *mark, relation=relation) for mark in marks
        ]
        if joined:
            items = [_composite_feature(analysis, finding, items)]
        yield content.container(
            codes.INDIVIDUAL_IMPRESSION,
            [_presentation_required(), *items],
            relation=content.INFERRED_FROM,
        )


def _composite_feature(analysis: Analysis, finding: Finding, singles: list[Dataset]) -> Dataset:
    """TID 4004 with TID 4005: one lesion on two images."""
    side = finding.laterality
    uid = result_uid(analysis, "tracking", "composite", side)
    items = [
        _presentation_required(),
        *tracked(f"{side} lesion in CC and MLO", uid),
        *(
            content.code(name, value, relation=content.HAS_PROPERTIES)
            for name, value in (
                (codes.COMPOSITE_TYPE, codes.SPATIALLY_RELATED),
                (codes.SCOPE_OF_FEATURE, codes.ON_MULTIPLE_IMAGES),
            )
        ),
        *algorithm_texts(analysis.card, relation=content.HAS_PROPERTIES),
        *_probability(finding),
        *singles,
    ]
    return content.code(codes.COMPOSITE_FEATURE, codes.BREAST_MASS, children=items)


def _single_image_finding(
    analysis: Analysis,
    library: Library,
    view: NamedView,
    number: int,
    lesion: Lesion,
    *,
    relation: str,
) -> Dataset:
    """TID 4006 with TID 4021; outline, probability and tracking UID are the TID 1500 report's.

    There is no 111012 Certainty of Finding: the segmentation network's own value is not
    calibrated.
    """
    image = view.result.recombined
    shape = (int(image.Rows), int(image.Columns))
    items = [
        _presentation_required(),
        *tracked(*tracking(analysis, view, number)),
        *algorithm_texts(analysis.card, relation=content.HAS_PROPERTIES),
        *_probability(view.finding),
        content.scoord(
            codes.CENTER,
            centre(lesion.mask),
            library.link(image),
            graphic="POINT",
            relation=content.HAS_PROPERTIES,
        ),
        content.scoord(
            codes.OUTLINE,
            thin(lesion.outline, shape),
            library.link(image),
            relation=content.HAS_PROPERTIES,
        ),
        *_long_axis(lesion, shape, library.link(image)),
    ]
    return content.code(
        codes.SINGLE_IMAGE_FINDING, codes.BREAST_DENSITY, relation=relation, children=items
    )


def centre(mask: Mask) -> npt.NDArray[np.float64]:
    """The middle of ``mask`` (rows, columns), or the point inside it that is nearest to that.

    Returns
    -------
    (1, 2) float64 (column, row), the centre of the first pixel at 0.5, 0.5.
    """
    inside = np.argwhere(mask)[:, ::-1].astype(np.float64) + 0.5
    middle = inside.mean(axis=0)
    column, row = np.floor(middle).astype(int)
    if mask[row, column]:
        return np.array([middle])
    nearest = np.square(inside - middle).sum(axis=1).argmin()
    return np.array(inside[nearest : nearest + 1])


def _long_axis(lesion: Lesion, shape: tuple[int, int], link: Dataset) -> Iterator[Dataset]:
    """TID 1400, drawn; TID 4011 takes a length or an area, so the area is the report's alone."""
    if lesion.long_axis_mm is None:
        return
    rows, columns = shape
    ends = np.clip(np.array(lesion.long_axis, dtype=np.float64), 0.0, (columns, rows))
    yield content.num(
        codes.LONG_AXIS,
        f"{lesion.long_axis_mm:.1f}",
        codes.MM,
        relation=content.HAS_PROPERTIES,
        children=[content.scoord(codes.PATH, ends, link, relation=content.INFERRED_FROM)],
    )


def _presentation_required() -> Dataset:
    return content.code(
        codes.RENDERING_INTENT, codes.PRESENTATION_REQUIRED, relation=content.HAS_CONCEPT_MOD
    )


def _probability(finding: Finding) -> Iterator[Dataset]:
    if finding.p_malignant is not None:
        yield content.num(
            codes.PROBABILITY_OF_CANCER,
            percent(finding.p_malignant),
            codes.PERCENT,
            relation=content.HAS_PROPERTIES,
        )
