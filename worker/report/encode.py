"""Everything that an analysis sends out, as bytes made once."""

from __future__ import annotations

from io import BytesIO

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from worker.contracts import Analysis, ResultObject, Role
from worker.report.cad_sr import cad_report
from worker.report.identity import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION,
    named_views,
)
from worker.report.record import record
from worker.report.seg import segmentation
from worker.report.sr import structured_report

_DICOM = "application/dicom"
_EXAM = "exam"


def encode(analysis: Analysis) -> tuple[ResultObject, ...]:
    """One Segmentation per view with a lesion, the reports, then the record of the analysis.

    The same analysis gives the same bytes: UIDs are derived and the time is ``run.created_at``,
    so that a repeated run delivers the same objects again instead of second ones. ``record``
    documents the JSON of the last object.

    Raises
    ------
    ValueError
        When the analysis has no source header to name the patient by, or a lesion's mask is not
        on the grid of its image.
    """
    views = list(named_views(analysis))
    segmented = {view.key: segmentation(analysis, view) for view in views if view.result.lesions}
    objects = [_dicom(Role.SEG, key, ds) for key, ds in segmented.items()]
    report = structured_report(analysis, segmented.values())
    objects.append(_dicom(Role.SR, _EXAM, report))
    objects.append(_dicom(Role.CAD_SR, _EXAM, cad_report(analysis)))
    objects.append(
        ResultObject(
            role=Role.ANALYSIS,
            key=_EXAM,
            media_type="application/json",
            content=record(analysis, objects),
        )
    )
    return tuple(objects)


def _dicom(role: Role, key: str, ds: Dataset) -> ResultObject:
    return ResultObject(
        role=role,
        key=key,
        media_type=_DICOM,
        content=file_bytes(ds),
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
    )


def file_bytes(ds: Dataset) -> bytes:
    """``ds`` as a DICOM file in Explicit VR Little Endian (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    ds.file_meta = meta
    stream = BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()
