"""Headers of mammograms as a modality would send them."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_node.domain.identifiers import derive_uid

ROWS, COLUMNS = 832, 640
MG_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
_VIEW_CODES = {
    "CC": ("399162004", "cranio-caudal"),
    "MLO": ("399368009", "medio-lateral oblique"),
}
_ORIENTATIONS = {
    ("R", "CC"): ["P", "L"],
    ("L", "CC"): ["A", "R"],
    ("R", "MLO"): ["P", "FL"],
    ("L", "MLO"): ["A", "FR"],
}


def header(
    laterality: str = "R",
    view: str = "CC",
    *,
    recombined: bool = True,
    study: str = "study",
    shape: tuple[int, int] = (ROWS, COLUMNS),
    ge: bool = False,
    **attributes: Any,
) -> Dataset:
    """Header of one image; ``attributes`` overwrite it, and None takes an attribute away."""
    kind = "recombined" if recombined else "low_energy"
    ds = Dataset()
    ds.SOPClassUID = MG_FOR_PRESENTATION
    ds.StudyInstanceUID = derive_uid("test", study)
    ds.SeriesInstanceUID = derive_uid("test", study, laterality, view, kind, "series")
    ds.SOPInstanceUID = derive_uid("test", study, laterality, view, kind)
    _add_patient(ds)
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "MG", "SYNTHETIC", "SYN-CEM"
    ds.InstitutionName = "Test Hospital"
    ds.SeriesNumber, ds.InstanceNumber = "1", "1"
    if ge:
        ds.ImageType = ["DERIVED", "PRIMARY", "", "RECOMBINED"] if recombined else [
            "ORIGINAL", "PRIMARY", "", "LOW_ENERGY"]  # fmt: skip
    else:
        ds.ImageType = ["DERIVED", "PRIMARY", "POST_CONTRAST", "SUBTRACTION"] if recombined else [
            "ORIGINAL", "PRIMARY", "POST_CONTRAST", "", "LOW_ENERGY"]  # fmt: skip
        ds.FrameOfReferenceUID = derive_uid("test", study, laterality, view, "frame")
        ds.PositionReferenceIndicator = ""
    _add_geometry(ds, laterality, view, shape)
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def mammogram(shape: tuple[int, int] = (64, 64), **attributes: Any) -> Dataset:
    """A whole image, its pixels black; ``attributes`` as of ``header``."""
    ds = header(shape=shape, **attributes)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.SamplesPerPixel = 1
    ds.PixelData = bytes(2 * shape[0] * shape[1])
    return ds


def _add_patient(ds: Dataset) -> None:
    ds.PatientName, ds.PatientID = "Test^Anna", "CEM-1"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19650101", "F", "061Y"
    ds.StudyDate, ds.StudyTime = "20260304", "040102"
    ds.StudyID, ds.AccessionNumber = "1", "ACC-1"
    ds.StudyDescription, ds.ReferringPhysicianName = "CEM both breasts", "Doctor^Who"


def _add_geometry(ds: Dataset, laterality: str, view: str, shape: tuple[int, int]) -> None:
    ds.ImageLaterality = laterality
    value, meaning = _VIEW_CODES[view]
    ds.ViewCodeSequence = Sequence([_code(value, "SCT", meaning)])
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence()
    ds.PatientOrientation = _ORIENTATIONS[laterality, view]
    ds.BodyPartExamined = ds.OrganExposed = "BREAST"
    ds.ImagerPixelSpacing = [0.28, 0.28]
    ds.EstimatedRadiographicMagnificationFactor = "1.0625"
    ds.Rows, ds.Columns = shape
    ds.PhotometricInterpretation = "MONOCHROME2"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
