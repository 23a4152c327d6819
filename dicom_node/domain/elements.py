"""The elements of a header that this product reads; nothing else of a header is decoded."""

from __future__ import annotations

from typing import Any, Protocol

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

_KEYWORDS = """
    SpecificCharacterSet SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID
    PatientID AccessionNumber Modality Manufacturer ManufacturerModelName
    ImageType SeriesDescription ProtocolName
    AcquisitionDeviceProcessingDescription AcquisitionDeviceProcessingCode
    DerivationCodeSequence KVP FilterMaterial SourceImageSequence
    ImageLaterality Laterality AnatomicRegionSequence ViewCodeSequence ViewPosition
    PartialView PartialViewCodeSequence PatientOrientation
    FieldOfViewRotation FieldOfViewHorizontalFlip
    ImagerPixelSpacing PixelSpacing EstimatedRadiographicMagnificationFactor
    Rows Columns NumberOfFrames BitsAllocated BitsStored SamplesPerPixel
    PhotometricInterpretation LossyImageCompression BreastImplantPresent
    FrameOfReferenceUID IrradiationEventUID AcquisitionUID AcquisitionNumber
    AcquisitionDateTime AcquisitionDate AcquisitionTime DeviceSerialNumber DetectorID
    ContentSequence
"""
# GE's Clinical View, with the private creator that pydicom needs to know its VR.
_GE = (*range(0x00450010, 0x00450100), 0x0045101B)


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword  # noqa: S101 - a list of ours
    return tag


READ = frozenset({*map(_tag, _KEYWORDS.split()), *_GE})
_KEYWORD = {tag: keyword_for_tag(tag) for tag in READ}
_VR = {tag: DicomDictionary[tag][0] for tag in READ if tag in DicomDictionary}
_ESCAPE, _DELIMITER = 0x1B, 0x5C  # of ISO 2022 (PS3.3 C.12.1.1.2); between values (PS3.5 6.2)


class Readable(Protocol):
    """A data set, or what reads like one."""

    def get(self, key: str, default: Any = None, /) -> Any: ...  # noqa: ANN401, D102 - as Dataset
    def __contains__(self, tag: Any) -> bool: ...  # noqa: ANN401
    def __getitem__(self, tag: Any) -> Any: ...  # noqa: ANN401


def _plain(tag: int, raw: RawDataElement) -> str | list[str] | int | None:
    """The value as pydicom gives it, of the plain ones that most are; ``None`` for the others.

    Its own conversion is most of the time that a header takes: 20 us for each element.
    """
    value, vr = raw.value, raw.VR or _VR.get(tag)
    if not value or vr is None:
        return None
    if vr == "US" and len(value) == 2:  # noqa: PLR2004 - bytes of one number
        return int.from_bytes(value, "little" if raw.is_little_endian else "big")
    if vr not in {"UI", "CS", "LO", "SH"} or not value.isascii() or _ESCAPE in value:
        return None
    text = value.decode("ascii").rstrip(" \0")
    # pydicom takes blanks off both ends of each UID, and off the end of the whole of the others.
    if vr == "UI" and any(map(str.isspace, text)):
        return None
    if _DELIMITER not in value:
        return text
    return None if vr in {"LO", "SH"} else text.split("\\")


class Elements:
    """A data set asked for elements, most of which it lacks: each is looked up once."""

    def __init__(self, ds: Dataset) -> None:
        self._ds = ds
        self._tags: dict[str, BaseTag] = {
            _KEYWORD[tag]: tag
            for tag in ds.keys()  # noqa: SIM118 - tags, nothing decoded
            if tag in _KEYWORD
        }
        self._values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - as Dataset
        """Value of an element by its keyword."""
        if key in self._values:
            return self._values[key]
        tag = self._tags.get(key)
        if tag is None:
            return default
        raw = self._ds.get_item(tag)
        value = _plain(tag, raw) if isinstance(raw, RawDataElement) else None
        if value is None:
            value = self._ds[tag].value
        self._values[key] = value
        return value

    def __contains__(self, tag: Any) -> bool:  # noqa: ANN401 - as Dataset
        return tag in self._ds

    def __getitem__(self, tag: Any) -> Any:  # noqa: ANN401 - as Dataset
        return self._ds[tag]
