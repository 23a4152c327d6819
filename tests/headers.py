"""Makes the headers of images, as values and as data sets without pixels."""

from __future__ import annotations

from collections.abc import Sequence as Items
from itertools import count
from typing import Any

from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation

from dicom_node.domain.identifiers import derive_uid
from dicom_node.domain.instance import ImageKind, InstanceHeader

MG_FOR_PRESENTATION = DigitalMammographyXRayImageStorageForPresentation
STUDY = derive_uid("test", "study")
NOON = 1_700_000_000.0  # any moment
ANALYSED_KINDS = (ImageKind.LOW_ENERGY, ImageKind.RECOMBINED, ImageKind.FFDM)
_serial = count()


def uid(*parts: object) -> str:
    """The UID of a test object, the same for the same parts."""
    return derive_uid("test", *(str(part) for part in parts))


def header(kind: ImageKind, name: str = "R CC", **values: Any) -> InstanceHeader:
    """One image of a view; an exclusion is filled in for kinds that nobody analyses."""
    laterality, _, view = name.partition(" ")
    serial = next(_serial)
    excluded = kind not in ANALYSED_KINDS
    given: dict[str, Any] = {
        "sop_class_uid": str(MG_FOR_PRESENTATION),
        "sop_instance_uid": uid("instance", serial),
        "study_instance_uid": STUDY,
        "series_instance_uid": uid("series", serial),
        "patient_id": "P-1",
        "accession_number": "A-1",
        "modality": "MG",
        "kind": kind,
        "kind_evidence": "said by the test",
        "exclusion": kind.value if excluded else None,
        "exclusion_text": f"{kind.value} is not analysed" if excluded else "",
        "laterality": laterality,
        "view": view,
        "rows": 3328,
        "columns": 2560,
        "spacing_mm": (0.07, 0.07),
        "spacing_rule": "uncorrected",
    }
    return InstanceHeader(**{**given, **values})


def low_energy(name: str = "R CC", **values: Any) -> InstanceHeader:
    """A low-energy image."""
    return header(ImageKind.LOW_ENERGY, name, **values)


def recombined(name: str = "R CC", **values: Any) -> InstanceHeader:
    """A recombined image."""
    return header(ImageKind.RECOMBINED, name, **values)


def ffdm(name: str = "R CC", **values: Any) -> InstanceHeader:
    """A plain mammogram."""
    return header(ImageKind.FFDM, name, **values)


def cem_view(name: str = "R CC", **values: Any) -> list[InstanceHeader]:
    """Both images of one view, tied together by their frame of reference."""
    tie = uid("frame of reference", name, next(_serial))
    given = {"frame_of_reference_uid": tie, **values}
    return [low_energy(name, **given), recombined(name, **given)]


def cem_exam(
    names: Items[str] = ("R CC", "L CC", "R MLO", "L MLO"), **values: Any
) -> list[InstanceHeader]:
    """Both images of every view."""
    return [one for name in names for one in cem_view(name, **values)]


def code(value: str, scheme: str = "SCT", **values: Any) -> Dataset:
    """An item of a code sequence."""
    return dataset_of(
        CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning="said by the test", **values
    )


def dataset_of(**values: Any) -> Dataset:
    """A data set of these elements, legal or not; lists of data sets become sequences."""
    ds = Dataset()
    for name, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], Dataset):
            value = Sequence(value)  # noqa: PLW2901 - the same value in pydicom's type
        ds.add(DataElement(name, dictionary_VR(name), value, validation_mode=IGNORE))
    return ds


def image_ds(
    image_type: str = r"ORIGINAL\PRIMARY\POST_CONTRAST\\LOW_ENERGY", **values: Any
) -> Dataset:
    """The header of an R CC mammogram; an element given as ``None`` is left out."""
    given: dict[str, Any] = {
        "SOPClassUID": MG_FOR_PRESENTATION,
        "SOPInstanceUID": uid("data set", "instance"),
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": uid("data set", "series"),
        "Modality": "MG",
        "PatientID": "P-1",
        "AccessionNumber": "A-1",
        "ImageType": image_type.split("\\"),
        "ImageLaterality": "R",
        "ViewCodeSequence": [code("399162004")],
        "Rows": 3328,
        "Columns": 2560,
        "SamplesPerPixel": 1,
        "BitsStored": 12,
        "PhotometricInterpretation": "MONOCHROME2",
        "ImagerPixelSpacing": [0.07, 0.07],
        **values,
    }
    return dataset_of(**{name: value for name, value in given.items() if value is not None})
