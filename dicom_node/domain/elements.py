"""The elements of a header that this product reads; nothing else of a header is decoded."""

from __future__ import annotations

from typing import Any, Protocol

from pydicom.datadict import keyword_for_tag, tag_for_keyword
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


class Readable(Protocol):
    """A data set, or what reads like one."""

    def get(self, key: str, default: Any = None, /) -> Any: ...  # noqa: ANN401, D102 - as Dataset
    def __contains__(self, tag: Any) -> bool: ...  # noqa: ANN401
    def __getitem__(self, tag: Any) -> Any: ...  # noqa: ANN401


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
        value = self._values[key] = self._ds[tag].value
        return value

    def __contains__(self, tag: Any) -> bool:  # noqa: ANN401 - as Dataset
        return tag in self._ds

    def __getitem__(self, tag: Any) -> Any:  # noqa: ANN401 - as Dataset
        return self._ds[tag]
