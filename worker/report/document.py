"""What every document with a content tree says of itself: its observer, its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from worker.contracts import Analysis, ModelCard, Status
from worker.report import codes, content
from worker.report.identity import MANUFACTURER, MODEL_NAME, device_uid
from worker.report.wording import ascii_text


def observer(card: ModelCard) -> Iterator[Dataset]:
    """TID 1004: the software with the bundle in it is the observer."""
    yield content.code(codes.OBSERVER_TYPE, codes.DEVICE, relation=content.HAS_OBS_CONTEXT)
    yield content.uid(codes.DEVICE_UID, device_uid(card))
    for name, value in (
        (codes.DEVICE_NAME, f"{card.name} {card.version}"),
        (codes.DEVICE_MANUFACTURER, MANUFACTURER),
        (codes.DEVICE_MODEL, MODEL_NAME),
        (codes.DEVICE_SERIAL, card.uuid),
    ):
        yield content.text(name, ascii_text(value), relation=content.HAS_OBS_CONTEXT)


def make_document(ds: Dataset, analysis: Analysis, objects: Iterable[Dataset]) -> None:
    """Write the SR Document General module (PS3.3 C.17.2) on ``ds``; ``objects`` are its evidence.

    No report is verified or final: nobody has read it.
    """
    ds.CompletionFlag = "COMPLETE" if analysis.status is Status.COMPLETE else "PARTIAL"
    ds.VerificationFlag = "UNVERIFIED"
    ds.PreliminaryFlag = "PRELIMINARY"
    ds.PerformedProcedureCodeSequence = Sequence()
    ds.ReferencedPerformedProcedureStepSequence = Sequence()
    ds.CurrentRequestedProcedureEvidenceSequence = Sequence(evidence(objects))


def analysed_images(analysis: Analysis) -> list[Dataset]:
    """Headers of the analysed images, view by view, the recombined image before its partner."""
    return [
        ds
        for finding in analysis.findings
        for view in finding.views
        for ds in (view.recombined, view.low_energy)
    ]


def study_headers(analysis: Analysis, source: Dataset) -> list[Dataset]:
    """Headers of the source's study, each once: analysed images first, then the others."""
    by_uid = {ds.SOPInstanceUID: ds for ds in (*analysed_images(analysis), *analysis.headers)}
    return [ds for ds in by_uid.values() if ds.StudyInstanceUID == source.StudyInstanceUID]


def evidence(objects: Iterable[Dataset]) -> list[Dataset]:
    """Hierarchical SOP Instance Reference macro (PS3.3 table C.17-3) over ``objects``."""
    by_series: dict[str, dict[str, list[Dataset]]] = {}
    for ds in objects:
        by_series.setdefault(ds.StudyInstanceUID, {}).setdefault(ds.SeriesInstanceUID, []).append(
            content.reference(ds)
        )
    studies = []
    for study_uid, series in by_series.items():
        study = Dataset()
        study.StudyInstanceUID = study_uid
        study.ReferencedSeriesSequence = Sequence([_series(*entry) for entry in series.items()])
        studies.append(study)
    return studies


def _series(uid: str, references: list[Dataset]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = uid
    item.ReferencedSOPSequence = Sequence(references)
    return item
