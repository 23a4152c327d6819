"""The elements of a header that this product reads; nothing else of a header is decoded."""

from __future__ import annotations

from pydicom.datadict import tag_for_keyword

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
