"""A data set's header read once into an ``InstanceHeader``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydicom.dataset import Dataset

from dicom_node.domain.assessment import assessments_of
from dicom_node.domain.elements import Elements, Readable
from dicom_node.domain.identifiers import is_uid
from dicom_node.domain.instance import ImageKind, InstanceHeader
from dicom_node.domain.kind import FOR_PROCESSING, Kind, kind_of
from dicom_node.domain.spacing import spacing_of
from dicom_node.domain.structure import USUAL, Limits
from dicom_node.domain.view import ANALYSED_VIEWS, laterality_of, partial_view_of, view_of
from dicom_node.errors import CannotUnderstand, Unreadable

# Manufacturer and Manufacturer's Model Name of every object we write, so that we know our own.
MANUFACTURER = "FAPS Node"
MODEL_NAME = "FAPS Node"
MIN_SIDE = 512  # smaller than any mammography detector read out in full
_NOT_ANALYSED = {
    ImageKind.HIGH_ENERGY: "high-energy images are kept, not analysed",
    ImageKind.TOMOSYNTHESIS: "tomosynthesis is not contrast-enhanced mammography",
    ImageKind.SYNTHETIC: "a synthetic 2-D image is not an exposure",
    ImageKind.BIOPSY: "biopsy guidance image",
    ImageKind.UNSUPPORTED: "this kind of image is not supported",
    ImageKind.NOT_MAMMOGRAPHY: "not a mammography image",
}


@dataclass(frozen=True)
class InputRule:
    """A site's own rules on what may be analysed, and what is read of it."""

    analyse_lossy: bool = True
    recombined_description: re.Pattern[str] | None = None
    limits: Limits = USUAL
    read_assessments: bool = False  # BI-RADS categories of structured reports


def header_from(
    ds: Dataset, *, transfer_syntax_uid: str = "", rule: InputRule = InputRule()
) -> InstanceHeader:
    """Read ``ds`` (pixels not needed) into a header.

    Raises
    ------
    CannotUnderstand
        When a UID that identifies the object is missing or is no UID (PS3.5 9.1), or an element's
        bytes cannot be read.

    """
    try:
        return _header(Elements(ds), transfer_syntax_uid, rule)
    except CannotUnderstand:
        raise
    except Exception as error:
        # pydicom converts values when they are asked for, and raises almost anything then.
        raise CannotUnderstand(f"an element cannot be read: {type(error).__name__}") from error


def _header(ds: Readable, transfer_syntax_uid: str, rule: InputRule) -> InstanceHeader:
    uids = {name: _uid(ds, name) for name in _IDENTITY}
    kind = kind_of(ds, rule.recombined_description)
    laterality, conflict = laterality_of(ds)
    view, modifiers = view_of(ds)
    code, text = exclusion_of(ds, rule, kind, laterality, view, modifiers, conflict=conflict)
    spacing, spacing_rule = spacing_of(ds)
    equipment = (_text(ds, "Manufacturer"), _text(ds, "ManufacturerModelName"))
    own = equipment == (MANUFACTURER, MODEL_NAME)
    return InstanceHeader(
        sop_class_uid=uids["SOPClassUID"],
        sop_instance_uid=uids["SOPInstanceUID"],
        study_instance_uid=uids["StudyInstanceUID"],
        series_instance_uid=uids["SeriesInstanceUID"],
        transfer_syntax_uid=transfer_syntax_uid,
        patient_id=_text(ds, "PatientID"),
        accession_number=_text(ds, "AccessionNumber"),
        modality=_text(ds, "Modality"),
        kind=kind.kind,
        kind_evidence=kind.evidence,
        kind_weak=kind.weak,
        exclusion=code,
        exclusion_text=text,
        laterality=laterality,
        view=view,
        view_modifiers=modifiers,
        partial_view=partial_view_of(ds),
        rows=_number(ds, "Rows"),
        columns=_number(ds, "Columns"),
        frames=_number(ds, "NumberOfFrames", 1),
        bits_stored=_number(ds, "BitsStored"),
        photometric_interpretation=_text(ds, "PhotometricInterpretation"),
        spacing_mm=spacing,
        spacing_rule=spacing_rule,
        patient_orientation=_texts(ds, "PatientOrientation"),
        field_of_view=_field_of_view(ds),
        frame_of_reference_uid=_text(ds, "FrameOfReferenceUID") or None,
        irradiation_event_uids=_texts(ds, "IrradiationEventUID"),
        acquisition_uid=_text(ds, "AcquisitionUID") or None,
        acquisition_number=_text(ds, "AcquisitionNumber") or None,
        acquired_at=acquired_at(ds),
        device=_text(ds, "DeviceSerialNumber") or _text(ds, "DetectorID"),
        source_sop_instance_uids=tuple(
            _plain(item.get("ReferencedSOPInstanceUID", ""))
            for item in ds.get("SourceImageSequence") or []
        ),
        assessments=assessments_of(ds) if rule.read_assessments and not own else (),
        own_result=own,
    )


_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


def _uid(ds: Readable, name: str) -> str:
    value = str(ds.get(name) or "").strip()
    if not is_uid(value):
        raise CannotUnderstand(f"{name} is {value[:64]!r}, which is no UID", Unreadable.NO_UID)
    return value


def _text(ds: Readable, name: str) -> str:
    value = ds.get(name)
    return "" if value is None else _plain(value)


def _plain(value: object) -> str:
    # A NUL is no character of any text (PS3.5 6.1.3), and PostgreSQL takes none.
    return str(value).replace("\0", "").strip()


def _texts(ds: Readable, name: str) -> tuple[str, ...]:
    value = ds.get(name)
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (_plain(value),)
    return tuple(map(_plain, value)) if isinstance(value, Sequence) else ()


def _field_of_view(ds: Readable) -> tuple[str, ...]:
    """Rotation and horizontal flip of the detector's image, empty where neither is said."""
    values = (_text(ds, "FieldOfViewRotation"), _text(ds, "FieldOfViewHorizontalFlip"))
    return values if any(values) else ()


def _number(ds: Readable, name: str, default: int = 0) -> int:
    value = ds.get(name)
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return default


def exclusion_of(
    ds: Readable,
    rule: InputRule,
    kind: Kind,
    laterality: str | None,
    view: str | None,
    modifiers: tuple[str, ...],
    *,
    conflict: bool,
) -> tuple[str | None, str]:
    """Why no analysis may use this image, as code and sentence, or ``(None, "")``."""
    reasons = (
        (kind.kind in _NOT_ANALYSED, kind.kind.value, _NOT_ANALYSED.get(kind.kind, "")),
        (
            _text(ds, "SOPClassUID") in FOR_PROCESSING,
            "for_processing",
            "raw image for processing: the model was trained on images for presentation",
        ),
        (_number(ds, "NumberOfFrames", 1) != 1, "multi_frame", "more than one frame"),
        (_number(ds, "SamplesPerPixel", 1) != 1, "colour", "a colour image"),
        (
            min(_number(ds, "Rows"), _number(ds, "Columns")) < MIN_SIDE,
            "too_small",
            f"{_number(ds, 'Columns')} x {_number(ds, 'Rows')} pixels, fewer than {MIN_SIDE}",
        ),
        (
            _text(ds, "LossyImageCompression") == "01" and not rule.analyse_lossy,
            "lossy",
            "compressed with loss, and input.analyse_lossy is off",
        ),
        (conflict, "laterality_conflict", "two elements name different breasts"),
        (laterality not in {"L", "R"}, "laterality", "no element says which breast it is"),
        (view is None, "view_unknown", "no element says which view it is"),
        (view not in ANALYSED_VIEWS, "view", f"view {view} is not analysed"),
        (bool(modifiers), "view_modifier", f"special view: {', '.join(modifiers)}"),
        (
            _text(ds, "BreastImplantPresent") == "YES",
            "implant",
            "breast with an implant: outside the intended use",
        ),
    )
    for applies, code, text in reasons:
        if applies:
            return code, text
    return None, ""


def acquired_at(ds: Readable) -> float | None:
    """Acquisition time in seconds since 1970, read as UTC; only differences are meaningful."""
    stamp = _text(ds, "AcquisitionDateTime")[:14]
    if not stamp:
        stamp = (_text(ds, "AcquisitionDate") + _text(ds, "AcquisitionTime"))[:14]
    if not stamp.isdigit() or len(stamp) != len("YYYYMMDDHHMMSS"):
        return None
    try:
        return datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
