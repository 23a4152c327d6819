"""Contrast-enhanced mammography as Digital Mammography X-Ray Image objects, in two dialects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

Energy = Literal["low_energy", "recombined", "high_energy"]
Dialect = Literal["standard", "ge"]
ENERGIES: Final = ("low_energy", "recombined", "high_energy")
MG: Final = UID("1.2.840.10008.5.1.4.1.1.1.2")  # Digital Mammography X-Ray, For Presentation
DIALECTS: Final = ("standard", "ge")

_VIEWS: Final = {  # PS3.16 CID 4014: SNOMED CT, the SNOMED-RT code it held before 2017, meaning
    "CC": ("399162004", "R-10242", "cranio-caudal"),
    "MLO": ("399368009", "R-10226", "medio-lateral oblique"),
    "ML": ("399260004", "R-10224", "medio-lateral"),
    "LM": ("399352003", "R-10228", "latero-medial"),
    "XCCL": ("399192008", "R-1024A", "cranio-caudal exaggerated laterally"),
}
_DOWN: Final = {"CC": ("R", "L"), "XCCL": ("R", "L"), "MLO": ("FR", "FL")}  # left, right breast
_IMAGE_TYPES: Final = {  # PS3.3 C.8.11.7.1.4; GE puts the energy into value 4
    ("standard", "low_energy"): ["ORIGINAL", "PRIMARY", "POST_CONTRAST", "", "LOW_ENERGY"],
    ("standard", "high_energy"): ["ORIGINAL", "PRIMARY", "POST_CONTRAST", "", "HIGH_ENERGY"],
    ("standard", "recombined"): ["DERIVED", "PRIMARY", "POST_CONTRAST", "SUBTRACTION", ""],
    ("ge", "low_energy"): ["ORIGINAL", "PRIMARY", "", "LOW_ENERGY"],
    ("ge", "high_energy"): ["ORIGINAL", "PRIMARY", "", "HIGH_ENERGY"],
    ("ge", "recombined"): ["DERIVED", "PRIMARY", "", "RECOMBINED"],
}
_GE_PROCESSING: Final = {
    "low_energy": "GEMS_FFDM_PV",
    "high_energy": "GEMS_FFDM_PV",
    "recombined": "GEMS_CESM_1",
}
_EXPOSURES: Final = {  # kVp, filter, its mm, mAs; a recombined image repeats the low exposure
    "low_energy": ("29", "RHODIUM", "0.05", 110),
    "high_energy": ("45", "COPPER", "0.3", 140),
    "recombined": ("29", "RHODIUM", "0.05", 110),
}
_DESCRIPTIONS: Final = {
    "low_energy": "Low energy",
    "high_energy": "High energy",
    "recombined": "Recombined",
}


def code_item(value: str, scheme: str, meaning: str) -> Dataset:
    """One item of a code sequence (PS3.3 8.8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def patient_orientation(laterality: str, view: str) -> list[str]:
    r"""Direction of rows then columns with the chest wall where hanging protocols want it.

    A left breast has its chest wall at the left of the image, a right one at the right (PS3.3
    C.7.6.1.1.1): L CC ``A\R``, R CC ``P\L``, L MLO ``A\FR``, R MLO ``P\FL``.
    """
    left = laterality == "L"
    return ["A" if left else "P", _DOWN.get(view, ("F", "F"))[0 if left else 1]]


@dataclass(frozen=True, kw_only=True)
class CemImage:
    """What is to be said of one image's pixels.

    Attributes
    ----------
    dialect
        ``standard``: PS3.3 Image Type, Frame of Reference, Source Image Sequence. ``ge``: energy in
        value 4 of Image Type, processing code, private Clinical View, SRT codes, no frame of
        reference: what GE systems were seen to send.
    spacing_mm
        At the detector, written as Imager Pixel Spacing.
    started
        Begin of the study, the same for all its images; ``acquired`` when None.
    source_uids
        SOP Instance UIDs that a recombined image was made from; the ``ge`` dialect leaves them out.
    orientation
        Patient Orientation where it differs from `patient_orientation`.
    lossy_ratio
        Compression ratio of a source that was JPEG with loss.
    magnification
        Estimated Radiographic Magnification Factor; 1 makes the breast's plane the detector's.
    exposure_known
        False leaves out exposure, dose, compression, injection: nothing is invented.
    """

    energy: Energy
    laterality: str
    view: str
    dialect: Dialect = "standard"
    patient_id: str
    patient_name: str
    study_uid: str
    series_uid: str
    sop_uid: str
    accession_number: str
    spacing_mm: float
    acquired: datetime
    started: datetime | None = None
    source_uids: Sequence[str] = ()
    frame_of_reference_uid: str | None = None
    photometric: str = "MONOCHROME2"
    bits_stored: int = 12
    character_set: str = "ISO_IR 192"
    orientation: Sequence[str] | None = None
    series_number: int = 1
    series_description: str | None = None
    manufacturer: str = "FAPS Node phantom"
    image_comments: str = "Research use, synthetic"
    derivation: str = ""
    lossy_ratio: float | None = None
    magnification: float = 1.0
    exposure_known: bool = True


def cem_dataset(pixels: npt.NDArray[np.uint16], image: CemImage) -> Dataset:
    """A complete Digital Mammography X-Ray Image, For Presentation, explicit little endian.

    ``pixels`` are (rows, columns) uint16, high is bright; a MONOCHROME1 image stores them inverted.

    Raises
    ------
    ValueError
        A view, side, energy or dialect that is not known, or pixels that do not fit the bits.
    """
    _check(pixels, image)
    ds = Dataset()
    ds.SpecificCharacterSet = image.character_set
    ds.ImageType = _IMAGE_TYPES[image.dialect, image.energy]
    ds.SOPClassUID = MG
    _identity(ds, image)
    _study_and_equipment(ds, image)
    _when(ds, image.acquired, image.started or image.acquired)
    if image.exposure_known:
        _exposure(ds, image.energy, image.acquired)
    _positioning(ds, image)
    _detector(ds, image.spacing_mm, image.magnification)
    _pixels(ds, pixels, image.photometric, image.bits_stored)
    _derivation(ds, image)
    if image.dialect == "ge":
        _ge(ds, image)
    elif image.frame_of_reference_uid:
        ds.FrameOfReferenceUID = image.frame_of_reference_uid
        ds.PositionReferenceIndicator = ""
    ds.file_meta = _file_meta(image.sop_uid)
    return ds


def _check(pixels: npt.NDArray[Any], image: CemImage) -> None:
    for name, value, known in (
        ("energy", image.energy, ENERGIES),
        ("laterality", image.laterality, ("L", "R")),
        ("view", image.view, tuple(_VIEWS)),
        ("dialect", image.dialect, DIALECTS),
    ):
        if value not in known:
            raise ValueError(f"{name} {value!r}: use one of {', '.join(known)}")
    if pixels.ndim != 2 or pixels.dtype != np.uint16:  # noqa: PLR2004 -- rows, columns
        raise ValueError(f"pixels {pixels.shape} {pixels.dtype}: give (rows, columns) uint16")
    if int(pixels.max(initial=0)) >> image.bits_stored:
        raise ValueError(
            f"pixels reach {int(pixels.max())}: more than {image.bits_stored} bits hold"
        )


def _identity(ds: Dataset, image: CemImage) -> None:
    ds.SOPInstanceUID, ds.SeriesInstanceUID = image.sop_uid, image.series_uid
    ds.StudyInstanceUID, ds.AccessionNumber = image.study_uid, image.accession_number
    ds.PatientName, ds.PatientID = image.patient_name, image.patient_id
    ds.SeriesNumber, ds.InstanceNumber = image.series_number, 1
    ds.SeriesDescription = f"{image.laterality} {image.view} {_DESCRIPTIONS[image.energy]}"


def _study_and_equipment(ds: Dataset, image: CemImage) -> None:
    ds.PatientBirthDate, ds.PatientSex, ds.ReferringPhysicianName = "", "F", ""
    ds.StudyID = image.accession_number
    ds.StudyDescription = "Contrast-enhanced mammography, research use"
    ds.ImageComments = image.image_comments
    ds.Modality, ds.PresentationIntentType = "MG", "FOR PRESENTATION"
    ds.Manufacturer, ds.ManufacturerModelName = image.manufacturer, "CEM"
    ds.SoftwareVersions, ds.DeviceSerialNumber, ds.InstitutionName = "1", "0", "FAPS Node"
    ds.BurnedInAnnotation = "NO"


def _when(ds: Dataset, acquired: datetime, started: datetime) -> None:
    date, time = acquired.strftime("%Y%m%d"), acquired.strftime("%H%M%S.%f")
    ds.AcquisitionDate = ds.ContentDate = date
    ds.AcquisitionTime = ds.ContentTime = time
    ds.AcquisitionDateTime = date + time
    ds.StudyDate = ds.SeriesDate = started.strftime("%Y%m%d")
    ds.StudyTime = ds.SeriesTime = started.strftime("%H%M%S")


def _exposure(ds: Dataset, energy: str, acquired: datetime) -> None:
    """Exposure with injection two minutes before (J Clin Imaging Sci 2021;11:63)."""
    kvp, material, thickness, mas = _EXPOSURES[energy]
    ds.KVP, ds.FilterMaterial, ds.AnodeTargetMaterial = kvp, material, "TUNGSTEN"
    ds.FilterThicknessMinimum = ds.FilterThicknessMaximum = thickness
    ds.Exposure, ds.ExposureInuAs, ds.ExposureTime = mas, mas * 1000, 900
    ds.XRayTubeCurrent, ds.FocalSpots, ds.Grid = 120, "0.3", ["FOCUSED", "RECIPROCATING"]
    ds.ExposureControlMode, ds.EntranceDoseInmGy, ds.OrganDose = "AUTOMATIC", "5", "0.015"
    ds.BodyPartThickness, ds.CompressionForce, ds.PaddleDescription = "52", "95", "STANDARD"
    ds.ContrastBolusAgent, ds.ContrastBolusIngredient = "Iodinated contrast", "IODINE"
    ds.ContrastBolusRoute = "IV"
    ds.ContrastBolusStartTime = (acquired - timedelta(minutes=2)).strftime("%H%M%S")


def _positioning(ds: Dataset, image: CemImage) -> None:
    laterality, view, ge = image.laterality, image.view, image.dialect == "ge"
    ds.PatientOrientation = list(image.orientation or patient_orientation(laterality, view))
    ds.ImageLaterality, ds.ViewPosition = laterality, view
    sct, srt, meaning = _VIEWS[view]
    scheme = "SRT" if ge else "SCT"
    code = code_item(srt if ge else sct, scheme, meaning)
    code.ViewModifierCodeSequence = []
    ds.ViewCodeSequence = [code]
    breast = "T-04000" if ge else "76752008"
    ds.AnatomicRegionSequence = [code_item(breast, scheme, "Breast")]
    ds.OrganExposed, ds.BreastImplantPresent, ds.PartialView = "BREAST", "NO", "NO"
    ds.PositionerType = "MAMMOGRAPHIC"
    ds.PositionerPrimaryAngle = {"CC": "0", "XCCL": "0", "MLO": "45"}.get(view, "90")
    ds.AcquisitionContextSequence = []


def _detector(ds: Dataset, spacing_mm: float, magnification: float) -> None:
    ds.ImagerPixelSpacing = [f"{spacing_mm:.6g}"] * 2
    ds.EstimatedRadiographicMagnificationFactor = f"{magnification:.6g}"
    ds.DistanceSourceToDetector = "660"
    ds.DistanceSourceToPatient = f"{660 / magnification:.6g}"
    ds.DetectorType, ds.DetectorConditionsNominalFlag = "DIRECT", "YES"
    ds.DetectorID, ds.DetectorConfiguration = "SYNTHETIC", "AREA"
    ds.FieldOfViewShape, ds.FieldOfViewOrigin = "RECTANGLE", ["0", "0"]
    ds.FieldOfViewRotation, ds.FieldOfViewHorizontalFlip = "0", "NO"


def _pixels(
    ds: Dataset, pixels: npt.NDArray[np.uint16], photometric: str, bits_stored: int
) -> None:
    top = (1 << bits_stored) - 1
    inverse = photometric == "MONOCHROME1"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, photometric
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits_stored, bits_stored - 1
    ds.PixelRepresentation = 0
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = 1 if inverse else -1
    ds.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.WindowCenter, ds.WindowWidth = str((top + 1) // 2), str(top + 1)
    ds.WindowCenterWidthExplanation = "FULL"
    stored = np.uint16(top) - pixels if inverse else pixels
    ds.PixelData = np.ascontiguousarray(stored).astype("<u2", copy=False).tobytes()


def _derivation(ds: Dataset, image: CemImage) -> None:
    if image.derivation:
        ds.DerivationDescription = image.derivation
    ds.LossyImageCompression = "00"
    if image.lossy_ratio is not None:
        ds.LossyImageCompression = "01"  # once lossy, always lossy (PS3.3 C.7.6.1.1.5)
        ds.LossyImageCompressionRatio = f"{image.lossy_ratio:.2f}"
        ds.LossyImageCompressionMethod = "ISO_10918_1"
    if image.energy != "recombined" or image.dialect == "ge":
        return
    ds.DerivationCodeSequence = [code_item("113062", "DCM", "Pixel by pixel subtraction")]
    sources = []
    for uid in image.source_uids:
        item = Dataset()
        item.ReferencedSOPClassUID = MG
        item.ReferencedSOPInstanceUID = uid
        purpose = code_item("121322", "DCM", "Source image for image processing operation")
        item.PurposeOfReferenceCodeSequence = [purpose]
        sources.append(item)
    if sources:
        ds.SourceImageSequence = sources


def _ge(ds: Dataset, image: CemImage) -> None:
    ds.Manufacturer, ds.ManufacturerModelName = "GE MEDICAL SYSTEMS", "Senographe Phantom"
    ds.AcquisitionDeviceProcessingCode = _GE_PROCESSING[image.energy]
    block = ds.private_block(0x0045, "GEMS_SENO_02", create=True)
    block.add_new(0x1B, "LO", image.laterality + image.view)


def _file_meta(sop_uid: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MG
    meta.MediaStorageSOPInstanceUID = UID(sop_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return meta
