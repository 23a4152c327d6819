"""The findings of an exam, or why there are none, as a Mammography CAD SR (TID 4000)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import MammographyCADSRStorage

from worker.contracts import Analysis, ModelCard, Role
from worker.report import codes, content
from worker.report.cad_findings import impressions
from worker.report.cad_library import Library, library_of
from worker.report.document import make_document, study_headers
from worker.report.groups import algorithm_texts
from worker.report.identity import Place, source_header, stamp
from worker.report.outcome import exam_summary
from worker.report.wording import NOT_REVIEWED, ascii_text, conclusion, headline, limitations


def cad_report(analysis: Analysis) -> Dataset:
    """The exam's CAD report; every status has the same shape, so that silence never means negative.

    It says what the TID 1500 report says, in the form that mammography workstations read. There is
    no assessment category (111005): that is a radiologist's.

    Raises
    ------
    ValueError
        When the analysis comes with no header at all.
    """
    source = source_header(analysis)
    ds = content.container(
        codes.MAMMOGRAPHY_CAD_REPORT, _tree(analysis, source), relation=None, template="4000"
    )
    ds.SOPClassUID = MammographyCADSRStorage
    make_document(ds, analysis, study_headers(analysis, source))
    place = Place(
        role=Role.CAD_SR,
        key="exam",
        modality="SR",
        series_description=f"AI CAD: {headline(analysis)} {NOT_REVIEWED}",
    )
    stamp(ds, analysis, source, place)
    return ds


def _tree(analysis: Analysis, source: Dataset) -> Iterator[Dataset]:
    """The items in an order that ``cad_library.PLACE`` counts on."""
    library = library_of(analysis, source)
    yield content.code(codes.LANGUAGE, codes.ENGLISH, relation=content.HAS_CONCEPT_MOD)
    yield content.container(codes.IMAGE_LIBRARY, library.entries())
    yield content.code(
        codes.PROCESSING_SUMMARY,
        exam_summary(analysis),
        children=[*_impression(analysis), *impressions(analysis, library)],
    )
    yield _detections(analysis.card, library)
    yield _analyses(analysis, library)


def _impression(analysis: Analysis) -> Iterator[Dataset]:
    """TID 4002: the outcome in words with what limits it; the only place that has room for it."""
    words = [conclusion(analysis), *limitations(analysis)]
    if analysis.reason_code:
        words.append(f"Reason code: {analysis.reason_code}")
    yield content.text(
        codes.IMPRESSION_DESCRIPTION, ascii_text(" ".join(words)), relation=content.HAS_PROPERTIES
    )
    yield from algorithm_texts(analysis.card, relation=content.HAS_PROPERTIES)


def _detections(card: ModelCard, library: Library) -> Dataset:
    """TID 4015: which images lesions were looked for on, and on which that failed.

    A view that never came has no image to name here; the summary and the impression tell of it.
    """
    parts = [
        (codes.SUCCESSFUL_DETECTIONS, library.done),
        (codes.FAILED_DETECTIONS, library.failed),
    ]
    status = {
        (True, False): codes.SUCCEEDED,
        (True, True): codes.PARTIALLY_SUCCEEDED,
        (False, True): codes.FAILED,
        (False, False): codes.NOT_ATTEMPTED,
    }[bool(library.done), bool(library.failed)]
    children = [
        content.container(
            name,
            [_performed(codes.DETECTION_PERFORMED, codes.BREAST_DENSITY, card, library, images)],
            relation=content.INFERRED_FROM,
        )
        for name, images in parts
        if images
    ]
    return content.code(codes.SUMMARY_OF_DETECTIONS, status, children=children)


def _analyses(analysis: Analysis, library: Library) -> Dataset:
    """TID 4016: of which images a probability was made.

    A breast without a lesion, or one that a gate kept from the classifier, was not attempted.
    """
    images = [
        ds
        for finding in analysis.findings
        if finding.p_malignant is not None
        for view in finding.views
        for ds in (view.recombined, view.low_energy)
    ]
    if not images:
        return content.code(codes.SUMMARY_OF_ANALYSES, codes.NOT_ATTEMPTED)
    performed = _performed(
        codes.ANALYSIS_PERFORMED, codes.IMPRESSION_ANALYSIS, analysis.card, library, images
    )
    successful = content.container(
        codes.SUCCESSFUL_ANALYSES, [performed], relation=content.INFERRED_FROM
    )
    return content.code(codes.SUMMARY_OF_ANALYSES, codes.SUCCEEDED, children=[successful])


def _performed(
    name: Code, what: Code, card: ModelCard, library: Library, images: Sequence[Dataset]
) -> Dataset:
    """TID 4017 and 4018: what was done by which algorithm to which images."""
    return content.code(
        name,
        what,
        children=[
            *algorithm_texts(card, relation=content.HAS_PROPERTIES),
            *library.links(images, relation=content.HAS_PROPERTIES),
        ],
    )
