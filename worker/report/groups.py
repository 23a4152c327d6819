"""Measurement groups of the report: one per breast, one per lesion of an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydicom.dataset import Dataset

from worker.contracts import Analysis, Finding, Lesion, ModelCard
from worker.report import codes, content
from worker.report.identity import NamedView, result_uid, tracking
from worker.report.outcome import summary
from worker.report.outline import thin
from worker.report.wording import ascii_text, percent

_BREAST_TEMPLATE = "1501"  # measurements without a region
_LESION_TEMPLATE = "1410"  # measurements of a planar region
_DEFAULT_PRECISION = "float32"


def lesion_groups(analysis: Analysis, views: Iterable[NamedView]) -> Iterator[Dataset]:
    """One group per lesion of an image, view by view."""
    for view in views:
        for number, lesion in enumerate(view.result.lesions, start=1):
            yield _of_lesion(analysis, view, number, lesion)


def breast_groups(analysis: Analysis) -> Iterator[Dataset]:
    """One group per breast; a breast that was to be analysed and was not gets one that says so."""
    incomplete = {text[0] for text in analysis.missing if text[:2] in {"L ", "R "}}
    for finding in analysis.findings:
        yield _of_breast(analysis, finding, complete=finding.laterality not in incomplete)
    for side in sorted(incomplete - {finding.laterality for finding in analysis.findings}):
        yield content.container(
            codes.MEASUREMENT_GROUP,
            [
                *_breast_context(analysis, side),
                content.code(codes.PROCESSING_SUMMARY, codes.NONE_SUCCEEDED),
            ],
            template=_BREAST_TEMPLATE,
        )


def _of_breast(analysis: Analysis, finding: Finding, *, complete: bool) -> Dataset:
    """TID 1501: what the model says of one breast over its views."""
    found = any(view.lesions for view in finding.views)
    items = [*_breast_context(analysis, finding.laterality)]
    items.extend(_probability(finding))
    items.append(content.code(codes.PROCESSING_SUMMARY, summary(found=found, complete=complete)))
    items.extend(_decision(finding))
    items.extend(
        content.image(ds, name=codes.SOURCE_OF_MEASUREMENT)
        for view in finding.views
        for ds in (view.recombined, view.low_energy)
    )
    return content.container(codes.MEASUREMENT_GROUP, items, template=_BREAST_TEMPLATE)


def _of_lesion(analysis: Analysis, view: NamedView, number: int, lesion: Lesion) -> Dataset:
    """TID 1410: one lesion of one image, with the tracking UID of its segment.

    Numbers stand here because viewers write a group's numbers beside its region and nothing else.
    """
    image = view.result.recombined
    items = [
        *tracked(*tracking(analysis, view, number)),
        content.code(codes.FINDING_CATEGORY, codes.ABNORMAL_STRUCTURE),
        content.code(codes.FINDING, codes.ENHANCING_LESION),
        _site(view.result.pair.laterality),
        *_algorithm(analysis.card),
    ]
    for name, value, unit in (
        (codes.AREA, lesion.area_mm2, codes.MM2),
        (codes.LONG_AXIS, lesion.long_axis_mm, codes.MM),
    ):
        if value is not None:
            items.append(content.num(name, f"{value:.1f}", unit))
    items.extend(_probability(view.finding))
    items.extend(_decision(view.finding))
    points = thin(lesion.outline, (int(image.Rows), int(image.Columns)))
    items.append(content.polyline(codes.IMAGE_REGION, points, image))
    return content.container(codes.MEASUREMENT_GROUP, items, template=_LESION_TEMPLATE)


def _breast_context(analysis: Analysis, side: str) -> Iterator[Dataset]:
    yield from tracked(f"{side} breast", result_uid(analysis, "tracking", "breast", side))
    yield _site(side)
    yield from _algorithm(analysis.card)


def tracked(identifier: str, uid: str) -> Iterator[Dataset]:
    """TID 4108: what a lesion is followed by from one object to the next."""
    yield content.text(codes.TRACKING_ID, identifier, relation=content.HAS_OBS_CONTEXT)
    yield content.uid(codes.TRACKING_UID, uid)


def _site(side: str) -> Dataset:
    laterality = content.code(codes.LATERALITY, codes.SIDES[side], relation=content.HAS_CONCEPT_MOD)
    return content.code(
        codes.FINDING_SITE, codes.BREAST, relation=content.HAS_CONCEPT_MOD, children=[laterality]
    )


def _algorithm(card: ModelCard) -> Iterator[Dataset]:
    """TID 4019, on the group and never on its numbers: OHIF skips numbers that carry it."""
    yield from algorithm_texts(card, relation=content.HAS_CONCEPT_MOD)
    yield content.code(
        codes.ALGORITHM_FAMILY, codes.ARTIFICIAL_INTELLIGENCE, relation=content.HAS_CONCEPT_MOD
    )


def algorithm_texts(card: ModelCard, *, relation: str) -> Iterator[Dataset]:
    """TID 4019 without its last row, which the readers of CAD reports are older than."""
    precision = str(card.raw.get("precision", _DEFAULT_PRECISION))
    parameters = [
        f"networks: {card.family}",
        *(f"threshold {name}: {value:.6g}" for name, value in sorted(card.thresholds.items())),
        f"weights sha256: {card.sha256[:16]}",
        f"precision: {precision}",
    ]
    for name, value in (
        (codes.ALGORITHM_NAME, card.name),
        (codes.ALGORITHM_VERSION, card.version),
        *((codes.ALGORITHM_PARAMETERS, parameter) for parameter in parameters),
    ):
        yield content.text(name, ascii_text(value), relation=relation)


def _probability(finding: Finding) -> Iterator[Dataset]:
    if finding.p_malignant is not None:
        yield content.num(codes.PROBABILITY_OF_CANCER, percent(finding.p_malignant), codes.PERCENT)


def _decision(finding: Finding) -> Iterator[Dataset]:
    if finding.decision in codes.DECISIONS:
        yield content.code(codes.IMPRESSION, codes.DECISIONS[finding.decision])
