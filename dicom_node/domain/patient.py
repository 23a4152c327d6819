"""Patient, study, times as every object that we write has them from its source."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta, timezone

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

_OFFSET_LENGTH = 5  # +hhmm
# Type 2 in every result object: written blank when the source lacks it.
_ALWAYS = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
    "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber",
)  # fmt: skip
# Patient, Clinical Trial, General Study and Patient Study modules (PS3.3 C.7.1, C.7.2).
_WHEN_PRESENT = (
    "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "TypeOfPatientID",
    "PatientBirthTime", "OtherPatientNames", "OtherPatientIDsSequence", "EthnicGroup",
    "PatientComments", "QualityControlSubject", "PatientIdentityRemoved", "DeidentificationMethod",
    "DeidentificationMethodCodeSequence", "ReferencedPatientSequence",
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID", "ClinicalTrialSiteName", "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID", "ClinicalTrialTimePointID",
    "IssuerOfAccessionNumberSequence", "StudyDescription", "ProcedureCodeSequence",
    "PhysiciansOfRecord", "ReferencedStudySequence", "ReasonForPerformedProcedureCodeSequence",
    "AdmittingDiagnosesDescription", "PatientAge", "PatientSize", "PatientWeight",
    "MedicalAlerts", "Allergies", "PregnancyStatus", "PatientState", "AdmissionID",
)  # fmt: skip


def copy_patient_and_study(ds: Dataset, source: Dataset) -> None:
    """Write patient and study of ``source`` on ``ds`` as they are, odd values included."""
    for keyword in ("SpecificCharacterSet", *_ALWAYS, *_WHEN_PRESENT):
        if keyword in ds:
            delattr(ds, keyword)
        if keyword in source:
            # Elements are copied whole: assigning values would judge them by this product's rules.
            ds.add(copied(source, keyword))
        elif keyword in _ALWAYS:
            setattr(ds, keyword, "")
    ds.StudyInstanceUID = source.StudyInstanceUID


def copied(source: Dataset, keyword: str) -> DataElement:
    """The element, without private attributes in its items."""
    element = deepcopy(source[keyword])
    if element.VR == "SQ":
        for item in element.value:
            item.remove_private_tags()
    return element


def write_time(ds: Dataset, created_at: datetime, source: Dataset) -> None:
    """Dates and times of making, in the time zone that the study's own times are in.

    The offset speaks for every date and time of an object (PS3.3 C.12.1.1.8), the copied study
    time among them; so the source's offset wins over the node's.
    """
    moment = _in_zone_of(created_at, source)
    ds.InstanceCreationDate = ds.ContentDate = ds.SeriesDate = moment.strftime("%Y%m%d")
    ds.InstanceCreationTime = ds.ContentTime = ds.SeriesTime = moment.strftime("%H%M%S.%f")
    ds.TimezoneOffsetFromUTC = moment.strftime("%z")[:_OFFSET_LENGTH]


def _in_zone_of(created_at: datetime, source: Dataset) -> datetime:
    offset = str(source.get("TimezoneOffsetFromUTC") or "")
    if len(offset) != _OFFSET_LENGTH or offset[0] not in "+-" or not offset[1:].isdecimal():
        return created_at
    sign = -1 if offset[0] == "-" else 1
    delta = sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:]))
    return created_at.astimezone(timezone(delta)) if abs(delta) < timedelta(days=1) else created_at
