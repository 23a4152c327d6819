"""The findings of an exam, or why there are none, as a TID 1500 Comprehensive 3D SR."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage

from worker.contracts import Analysis, Role, Status
from worker.report import codes, content
from worker.report.document import make_document, observer, study_headers
from worker.report.groups import breast_groups, lesion_groups
from worker.report.identity import (
    EXAM,
    NamedView,
    Place,
    named_views,
    source_header,
    stamp,
)
from worker.report.outcome import exam_summary
from worker.report.wording import (
    NOT_REVIEWED,
    ascii_text,
    conclusion,
    count,
    headline,
    limitations,
)

_SOP_CLASSES = {
    Role.SR: Comprehensive3DSRStorage,
    Role.SR_IMAGE: Comprehensive3DSRStorage,
    Role.SR_2D: ComprehensiveSRStorage,
    Role.SR_IMAGE_2D: ComprehensiveSRStorage,
}
_OUTCOMES = {
    Status.COMPLETE: codes.SUCCEEDED,
    Status.PARTIAL: codes.PARTIALLY_SUCCEEDED,
    Status.UNSUITABLE: codes.NOT_ATTEMPTED,
    Status.FAILED: codes.FAILED,
}


class Report(NamedTuple):
    """A report with the role and key that it goes by."""

    role: Role
    key: str
    ds: Dataset


def structured_report(
    analysis: Analysis,
    segmentations: Iterable[Dataset],
    role: Role = Role.SR,
    image: NamedView | None = None,
) -> Dataset:
    """The exam's report; every status has the same shape, so that silence never means negative.

    The tree is built item by item: highdicom's templates need a measurement group and complete
    image headers, and a report on an exam that could not be analysed has neither. Without a lesion
    the Qualitative Evaluations container stands alone (TID 1500 rows 6, 10, 12: one of the three).

    ``role`` fixes the SOP class. With ``image`` only this view's regions are in it, everything else
    is: OHIF draws the regions of the first image that a report names and no others.

    Raises
    ------
    ValueError
        When the analysis comes with no header at all.
    """
    source = source_header(analysis)
    views = list(named_views(analysis)) if image is None else [image]
    ds = content.container(
        codes.IMAGING_MEASUREMENT_REPORT,
        _tree(analysis, source, views),
        relation=None,
        template="1500",
    )
    ds.SOPClassUID = _SOP_CLASSES[role]
    make_document(ds, analysis, [*study_headers(analysis, source), *segmentations])
    what = headline(analysis) if image is None else _headline_of(image)
    place = Place(
        role=role,
        key=EXAM if image is None else image.key,
        modality="SR",
        series_description=f"AI report: {what} {NOT_REVIEWED}",
        number=0 if image is None else image.number,
    )
    stamp(ds, analysis, source, place)
    return ds


def reports(analysis: Analysis, segmentations: Mapping[str, Dataset]) -> Iterator[Report]:
    """Every form of the report, of which a destination gets one: by SOP class, exam or image.

    Where no image has a lesion, the form by image is one report of the exam.
    """
    marked = [view for view in named_views(analysis) if view.result.lesions]
    for role in (Role.SR, Role.SR_2D):
        yield Report(role, EXAM, structured_report(analysis, segmentations.values(), role))
    for role in (Role.SR_IMAGE, Role.SR_IMAGE_2D):
        for view in marked:
            own = [segmentations[view.key]]
            yield Report(role, view.key, structured_report(analysis, own, role, view))
        if not marked:
            yield Report(role, EXAM, structured_report(analysis, (), role))


def _tree(analysis: Analysis, source: Dataset, views: Iterable[NamedView]) -> Iterator[Dataset]:
    yield content.code(codes.LANGUAGE, codes.ENGLISH, relation=content.HAS_CONCEPT_MOD)
    yield from observer(analysis.card)
    for procedure in _procedures(source):
        yield content.code(codes.PROCEDURE_REPORTED, procedure, relation=content.HAS_CONCEPT_MOD)
    library = [ds for ds in study_headers(analysis, source) if "Rows" in ds and "Columns" in ds]
    if library:
        group = content.container(codes.IMAGE_LIBRARY_GROUP, map(_library_entry, library))
        yield content.container(codes.IMAGE_LIBRARY, [group])
    lesions = list(lesion_groups(analysis, views))
    if lesions:
        yield content.container(codes.IMAGING_MEASUREMENTS, lesions)
    yield content.container(codes.QUALITATIVE_EVALUATIONS, _evaluations(analysis))


def _procedures(source: Dataset) -> list[Code]:
    """The study's own procedure codes, as they are; mammography where it has none."""
    own = [
        Code(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning)
        for item in source.get("ProcedureCodeSequence") or ()
        if item.get("CodeValue") and item.get("CodingSchemeDesignator") and item.get("CodeMeaning")
    ]
    return own or [codes.MAMMOGRAPHY]


def _library_entry(ds: Dataset) -> Dataset:
    """TID 1601 with the descriptors of TID 1602 that the header has."""
    descriptors = []
    if ds.get("Modality") == codes.MODALITY_MG.value:
        descriptors.append(_descriptor(codes.MODALITY, codes.MODALITY_MG))
    side = codes.SIDES.get(str(ds.get("ImageLaterality") or ds.get("Laterality") or ""))
    if side is not None:
        descriptors.append(_descriptor(codes.IMAGE_LATERALITY, side))
    views = [codes.VIEWS.get(item.get("CodeValue")) for item in ds.get("ViewCodeSequence") or ()]
    descriptors.extend(_descriptor(codes.IMAGE_VIEW, view) for view in views if view is not None)
    for name, value in ((codes.PIXEL_ROWS, ds.Rows), (codes.PIXEL_COLUMNS, ds.Columns)):
        descriptors.append(
            content.num(name, str(value), codes.PIXELS, relation=content.HAS_ACQ_CONTEXT)
        )
    return content.image(ds, children=descriptors)


def _descriptor(name: Code, value: Code) -> Dataset:
    return content.code(name, value, relation=content.HAS_ACQ_CONTEXT)


def _evaluations(analysis: Analysis) -> Iterator[Dataset]:
    """What became of the exam in codes and words, then of each breast, then the limits.

    The breast's groups stand here and not beside the lesions' (TID 1500 is extensible): OHIF 3.13
    draws no lesion at all when Imaging Measurements holds a group without a region.
    """
    yield content.code(codes.PROCESSING_SUMMARY, exam_summary(analysis))
    yield content.code(codes.SUMMARY_OF_ANALYSES, _OUTCOMES[analysis.status])
    yield content.text(codes.CONCLUSION, conclusion(analysis))
    yield from breast_groups(analysis)
    if analysis.reason_code:
        yield content.text(codes.COMMENT, f"Reason code: {ascii_text(analysis.reason_code)}")
    for words in limitations(analysis):
        yield content.text(codes.COMMENT, ascii_text(words))


def _headline_of(view: NamedView) -> str:
    return f"{view.name} {count(len(view.result.lesions), 'mark')}"
