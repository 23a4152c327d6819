"""The note that takes result objects back: a Key Object Selection as IHE IOCM has it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import KeyObjectSelectionDocumentStorage

from dicom_node.domain.dimse import LABEL_MAP_SEGMENTATION_STORAGE
from dicom_node.domain.header import MANUFACTURER, MODEL_NAME
from dicom_node.domain.identifiers import derive_uid
from dicom_node.domain.patient import copy_patient_and_study, write_time
from dicom_node.domain.plain import RESEARCH_USE, ascii_text, long_string

REJECTION = "rejection"  # role of such a note among the artefacts
SERIES_NUMBER = 9004  # after report, CAD report and key objects; one note for each set
_WORDS_LENGTH = 900  # of UT there is no end, but viewers cut at 1024


class Reason(enum.Enum):
    """Why results are taken back, as ``dicom-node withdraw --reason`` names it."""

    QUALITY = "quality"
    SAFETY = "safety"
    WORKLIST = "worklist"


# Document titles of CID 7010 that IHE RAD IOCM gives a meaning, and the same for people.
_TITLES = {
    Reason.QUALITY: ("113001", "Rejected for Quality Reasons"),
    Reason.SAFETY: ("113037", "Rejected for Patient Safety Reasons"),
    Reason.WORKLIST: ("113038", "Incorrect Modality Worklist Entry"),
}


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """One set of results taken back at one destination."""

    job_id: str
    destination: str
    reason: Reason
    words: str  # why, for people
    at: datetime  # timezone-aware; when it was decided
    version: str  # of the node


def title_of(reason: Reason) -> str:
    """Meaning of the note's title: ``"Rejected for Quality Reasons"``."""
    return _TITLES[reason][1]


def rejection_note(objects: Sequence[Dataset], rejection: Rejection) -> Dataset:
    """A note on ``objects``, whose headers these are; the same rejection gives the same note.

    PS3.3 A.35.4, TID 2010. Patient and study are those of the first object.

    Raises
    ------
    ValueError
        Without any object there is nothing to take back, nor anybody to name.
    """
    if not objects:
        raise ValueError(f"job {rejection.job_id}: no object to take back at this destination")
    ds = Dataset()
    copy_patient_and_study(ds, objects[0])
    ds.SOPClassUID = KeyObjectSelectionDocumentStorage
    identity = (rejection.job_id, rejection.destination, rejection.reason.value)
    ds.SOPInstanceUID = derive_uid("faps", "rejection", *identity)
    ds.SeriesInstanceUID = derive_uid("faps", "rejection series", *identity)
    ds.Modality = "KO"
    ds.SeriesNumber = SERIES_NUMBER
    ds.InstanceNumber = 1
    ds.SeriesDescription = long_string(f"AI results withdrawn: {rejection.words}")
    write_time(ds, rejection.at, objects[0])
    ds.Manufacturer, ds.ManufacturerModelName = MANUFACTURER, MODEL_NAME
    ds.SoftwareVersions = long_string(rejection.version)
    ds.ReferencedPerformedProcedureStepSequence = Items()
    ds.CurrentRequestedProcedureEvidenceSequence = Items(_evidence(objects))
    ds.ValueType = "CONTAINER"
    ds.ConceptNameCodeSequence = Items([_code(*_TITLES[rejection.reason])])
    ds.ContinuityOfContent = "SEPARATE"
    ds.ContentTemplateSequence = Items([_template()])
    ds.ContentSequence = Items([_text(rejection), *map(_selected, objects)])
    return ds


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _template() -> Dataset:
    item = Dataset()
    item.MappingResource, item.TemplateIdentifier = "DCMR", "2010"
    return item


def _text(rejection: Rejection) -> Dataset:
    """TID 2010 row 6: the only words that a viewer shows of a note."""
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "TEXT"
    item.ConceptNameCodeSequence = Items([_code("113012", "Key Object Description")])
    why = ascii_text(rejection.words)[:_WORDS_LENGTH].rstrip(". ")
    item.TextValue = f"AI results withdrawn: {why}. {RESEARCH_USE}."
    return item


def _selected(ds: Dataset) -> Dataset:
    """TID 2010 rows 7 and 9: what has pixels is an IMAGE; neither has a concept name.

    But a label map: readers that do not know the class refuse a note with such an image.
    """
    image = "Rows" in ds and ds.SOPClassUID != LABEL_MAP_SEGMENTATION_STORAGE
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = "IMAGE" if image else "COMPOSITE"
    item.ReferencedSOPSequence = Items([_reference(ds)])
    return item


def _reference(ds: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = ds.SOPClassUID
    item.ReferencedSOPInstanceUID = ds.SOPInstanceUID
    return item


def _evidence(objects: Iterable[Dataset]) -> list[Dataset]:
    """Every object under its series and study (PS3.3 table C.17-3)."""
    series: dict[tuple[str, str], list[Dataset]] = {}
    for ds in objects:
        series.setdefault((ds.StudyInstanceUID, ds.SeriesInstanceUID), []).append(_reference(ds))
    studies: dict[str, Dataset] = {}
    for (study_uid, series_uid), references in series.items():
        if study_uid not in studies:
            study = studies[study_uid] = Dataset()
            study.StudyInstanceUID = study_uid
            study.ReferencedSeriesSequence = Items()
        item = Dataset()
        item.SeriesInstanceUID = series_uid
        item.ReferencedSOPSequence = Items(references)
        studies[study_uid].ReferencedSeriesSequence.append(item)
    return list(studies.values())
