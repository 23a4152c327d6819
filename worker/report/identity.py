"""What every result object shares: patient, study, equipment, identifiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_node.domain import header
from dicom_node.domain.identifiers import derive_uid
from dicom_node.domain.patient import copied, copy_patient_and_study, write_time
from worker.contracts import REPORTS, Analysis, Finding, ModelCard, Role, ViewResult
from worker.report import codes
from worker.report.wording import RESEARCH_USE, ascii_text, long_string

MANUFACTURER, MODEL_NAME = header.MANUFACTURER, header.MODEL_NAME

EXAM = "exam"  # key of what an exam has once
# Far from what modalities count. One number for what an exam has once, twenty for views.
SERIES_NUMBERS: Mapping[Role, int] = MappingProxyType(
    {
        Role.SR: 9001,
        Role.SR_2D: 9005,
        Role.CAD_SR: 9002,
        Role.KEY_OBJECTS: 9003,
        Role.SEG: 9011,
        Role.SC: 9031,
        Role.GSPS: 9051,
        Role.SR_IMAGE: 9071,
        Role.SR_IMAGE_2D: 9111,
        Role.LABELMAP: 9091,
    }
)


@dataclass(frozen=True)
class NamedView:
    """A view with the key that its results go by: ``"R-CC"``, ``"R-CC-2"`` when repeated."""

    key: str
    finding: Finding
    result: ViewResult
    number: int  # of the view in the exam, from 0

    @property
    def name(self) -> str:
        """``"R CC"``, as people read it."""
        return ascii_text(self.key.replace("-", " "))


@dataclass(frozen=True)
class Place:
    """Where one result object sits in the study; each is alone in its series."""

    role: Role
    key: str  # "exam", or a view's
    modality: str
    series_description: str
    number: int = 0  # of the view in the exam, from 0

    @property
    def series_number(self) -> int:
        """Its Series Number: of its kind, then of the view."""
        return SERIES_NUMBERS[self.role] + self.number


def named_views(analysis: Analysis) -> Iterator[NamedView]:
    """Every analysed view with a key that no other view of the exam has."""
    seen: dict[str, int] = {}
    for finding in analysis.findings:
        for result in finding.views:
            key = f"{result.pair.laterality}-{result.pair.view}"
            seen[key] = seen.get(key, 0) + 1
            name = key if seen[key] == 1 else f"{key}-{seen[key]}"
            yield NamedView(name, finding, result, sum(seen.values()) - 1)


def result_uid(analysis: Analysis, role: str, *key: str) -> str:
    """UID of a thing that this run makes: the same run, model and input give the same UID."""
    run = analysis.run
    return derive_uid(
        "faps", run.study_instance_uid, run.input_hash, analysis.card.sha256,
        run.profile, str(run.revision), role, *key,
    )  # fmt: skip


def device_uid(card: ModelCard) -> str:
    """UID of the algorithm as a device, new with any byte of the bundle (IHE AIR 6.5.3.1)."""
    return derive_uid("faps", "device", card.sha256)


def tracking(analysis: Analysis, view: NamedView, number: int) -> tuple[str, str]:
    """Tracking identifier and UID of lesion ``number`` (from 1) of ``view``.

    SEG and SR carry the same pair. No two images share one: viewers merge groups that do.
    """
    uid = result_uid(
        analysis, "tracking", view.key, view.result.recombined.SOPInstanceUID, str(number)
    )
    return f"{view.name} lesion {number}", uid


def source_header(analysis: Analysis) -> Dataset:
    """The header that patient and study are copied from.

    Raises
    ------
    ValueError
        Without any header there is nobody to report on.
    """
    for finding in analysis.findings:
        for view in finding.views:
            return view.recombined
    if not analysis.headers:
        raise ValueError(
            f"Study {analysis.run.study_instance_uid} has no readable header, so a result cannot "
            "name its patient: pass the header of at least one received instance."
        )
    return analysis.headers[0]


def stamp(ds: Dataset, analysis: Analysis, source: Dataset, place: Place) -> None:
    """Write on ``ds`` everything that results share; what it held of that before is replaced.

    Patient and study come from ``source`` as they are, odd values included: a result that spells
    the patient otherwise than the images do is filed under another patient.
    """
    copy_patient_and_study(ds, source)
    ds.SOPInstanceUID = result_uid(analysis, place.role.value, place.key)
    ds.SeriesInstanceUID = result_uid(analysis, f"{place.role.value} series", place.key)
    ds.Modality = place.modality
    ds.SeriesNumber = place.series_number
    ds.InstanceNumber = 1
    ds.SeriesDescription = long_string(place.series_description)
    write_time(ds, analysis.run.created_at, source)
    card = analysis.card
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = MODEL_NAME
    ds.DeviceSerialNumber = long_string(card.uuid)
    ds.SoftwareVersions = software_versions(card)
    ds.DeviceUID = device_uid(card)
    ds.ContributingEquipmentSequence = Sequence(_contributing_equipment(analysis, source))
    _name_predecessor(ds, analysis, place)


def _name_predecessor(ds: Dataset, analysis: Analysis, place: Place) -> None:
    """Name the report whose place this one takes (PS3.3 table C.17-2, macro C.17-3)."""
    if place.role not in REPORTS:
        return
    for before in analysis.run.predecessors:
        if (before.role, before.key) == (place.role.value, place.key):
            document = Dataset()
            document.ReferencedSOPClassUID = before.sop_class_uid
            document.ReferencedSOPInstanceUID = before.sop_instance_uid
            series = Dataset()
            series.SeriesInstanceUID = before.series_instance_uid
            series.ReferencedSOPSequence = Sequence([document])
            study = Dataset()
            study.StudyInstanceUID = before.study_instance_uid
            study.ReferencedSeriesSequence = Sequence([series])
            ds.PredecessorDocumentsSequence = Sequence([study])


def software_versions(card: ModelCard) -> list[str]:
    """Name and version of the bundle, then the start of its checksum."""
    return [long_string(f"{card.name} {card.version}"), f"sha256 {card.sha256[:16]}"]


def _contributing_equipment(analysis: Analysis, source: Dataset) -> Iterator[Dataset]:
    """The modality, then the algorithm (PS3.3 C.12.1, CID 7005)."""
    if source.get("Manufacturer"):
        modality = Dataset()
        for keyword in ("Manufacturer", "InstitutionName", "StationName", "ManufacturerModelName"):
            if source.get(keyword):
                modality.add(copied(source, keyword))
        modality.PurposeOfReferenceCodeSequence = Sequence(
            [codes.code_item(codes.ACQUISITION_EQUIPMENT)]
        )
        yield modality
    card = analysis.card
    algorithm = Dataset()
    algorithm.Manufacturer = MANUFACTURER
    algorithm.ManufacturerModelName = long_string(card.name)
    algorithm.DeviceSerialNumber = long_string(card.uuid)
    algorithm.SoftwareVersions = software_versions(card)
    algorithm.DeviceUID = device_uid(card)
    algorithm.ContributionDateTime = analysis.run.created_at.strftime("%Y%m%d%H%M%S.%f%z")
    algorithm.ContributionDescription = f"{RESEARCH_USE}. {ascii_text(card.statement)}"[:1024]
    algorithm.PurposeOfReferenceCodeSequence = Sequence(
        [codes.code_item(codes.PROCESSING_EQUIPMENT)]
    )
    yield algorithm
