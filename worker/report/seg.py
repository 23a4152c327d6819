"""The outlined lesions of one view as a DICOM Segmentation that viewers show on mammograms."""

from __future__ import annotations

from collections.abc import Sequence as Items

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from worker.contracts import Analysis, Lesion, ModelCard, Role, ViewResult
from worker.report import codes
from worker.report.identity import (
    MANUFACTURER,
    MODEL_NAME,
    NamedView,
    Place,
    result_uid,
    software_versions,
    stamp,
    tracking,
)
from worker.report.wording import (
    NOT_REVIEWED,
    RESEARCH_USE,
    ascii_text,
    count,
    long_string,
)

# PCS values of PS3.3 C.10.7.1.1, away from the greys of the image and told apart by most readers.
_COLOURS = ((62.0, 70.0, 62.0), (80.0, -65.0, 55.0), (70.0, -10.0, -48.0), (85.0, 8.0, 82.0))
_MINIATURE = 8  # rows and columns of the stand-in that highdicom describes
_BITS_OF_WORD = 16

_SEGMENT_POINTER = (0x0062000B, 0x0062000A)  # Referenced Segment Number in Segment Identification
_POSITION_POINTER = (0x00200032, 0x00209113)  # Image Position (Patient) in Plane Position


def segmentation(analysis: Analysis, view: NamedView) -> Dataset:
    """BINARY Segmentation on the grid of the recombined image, one segment per lesion.

    highdicom describes a miniature of the image, whose frames are then replaced by the masks:
    its checks cost 0.6 s on four full-size masks and 10 ms on four small ones. What it leaves out
    for projection images follows (PS3.3 A.51, C.8.20).

    Raises
    ------
    ValueError
        When the view has no lesion (an empty Segmentation is read as a finding), or a mask is
        empty or of another matrix than the image.
    """
    result = view.result
    frames = _frames(view)
    ds = _described(analysis, view)
    ds.Rows, ds.Columns = frames.shape[1:]
    ds.PixelData = _packed(frames)
    ds.SegmentsOverlap = "YES" if np.count_nonzero(frames.sum(axis=0, dtype=np.uint8) > 1) else "NO"
    _place_in_a_plane(ds, analysis, view)
    _index_frames(ds, analysis, view)
    _sign(ds, analysis, view)
    for item in ds.SegmentSequence:
        region = item.AnatomicRegionSequence[0]
        side = codes.SIDES[result.pair.laterality]
        region.AnatomicRegionModifierSequence = Sequence([codes.code_item(side)])
    return ds


def _frames(view: NamedView) -> npt.NDArray[np.uint8]:
    """The masks as (lesions, rows, columns) of 0 and 1, checked against the image."""
    result = view.result
    shape = (int(result.recombined.Rows), int(result.recombined.Columns))
    if not result.lesions:
        raise ValueError(f"{view.name} has no lesion: make no Segmentation for it.")
    for number, lesion in enumerate(result.lesions, start=1):
        if lesion.mask.shape != shape:
            raise ValueError(
                f"{view.name} lesion {number}: the mask is {lesion.mask.shape}, the image {shape}; "
                "bring the mask back to the source grid first."
            )
        if not lesion.mask.any():
            raise ValueError(f"{view.name} lesion {number}: the mask is empty; drop the lesion.")
    return np.stack([lesion.mask for lesion in result.lesions]).view(np.uint8)


def _packed(frames: npt.NDArray[np.uint8]) -> bytes:
    """Frames as a bit stream without gaps, padded to whole words (PS3.5 8.1.1, A.2)."""
    packed = np.packbits(frames, axis=None, bitorder="little").tobytes()
    return packed + b"\0" * (len(packed) % (_BITS_OF_WORD // 8))


def _described(analysis: Analysis, view: NamedView) -> Dataset:
    """The Segmentation that highdicom makes of a miniature with one pixel per lesion."""
    lesions = view.result.lesions
    pixels = np.zeros((1, _MINIATURE, _MINIATURE, len(lesions)), dtype=np.uint8)
    pixels[0, 0, 0, :] = 1
    card = analysis.card
    return hd.seg.Segmentation(
        source_images=[_miniature(view.result.recombined)],
        pixel_array=pixels,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=_segments(analysis, view, lesions),
        series_instance_uid=result_uid(analysis, "seg series", view.key),
        series_number=1,  # stamped with the identity
        sop_instance_uid=result_uid(analysis, "seg", view.key),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=software_versions(card)[0],
        device_serial_number=long_string(card.uuid),
        content_label="AI_LESIONS",
        content_description=long_string(f"{view.name}: {RESEARCH_USE} {NOT_REVIEWED}"),
        content_creator_name=f"{MANUFACTURER}^",  # a family name alone, PS3.5 6.2.1
    )


def _miniature(image: Dataset) -> Dataset:
    """What highdicom reads of a source image, with a few pixels and no patient.

    The patient is stamped on afterwards, from the header itself: highdicom refuses names and
    sexes that hospitals do write.
    """
    small = Dataset()
    for keyword in (
        "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID",
        "FrameOfReferenceUID", "PositionReferenceIndicator",
        "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
    ):  # fmt: skip
        if keyword in image:
            small.add(image[keyword])
    for keyword in (
        "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber",
        "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName",
    ):  # fmt: skip
        setattr(small, keyword, "")
    small.Modality = "MG"
    small.Rows = small.Columns = _MINIATURE
    return small


def _segments(
    analysis: Analysis, view: NamedView, lesions: Items[Lesion]
) -> list[hd.seg.SegmentDescription]:
    algorithm = _algorithm(analysis.card)
    described = []
    for number in range(1, len(lesions) + 1):
        identifier, uid = tracking(analysis, view, number)
        described.append(
            hd.seg.SegmentDescription(
                segment_number=number,
                segment_label=identifier,
                segmented_property_category=codes.ABNORMAL_STRUCTURE,
                segmented_property_type=codes.ENHANCING_LESION,
                algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
                tracking_uid=uid,
                tracking_id=identifier,
                anatomic_regions=[codes.BREAST],
                display_color=hd.color.CIELabColor(*_COLOURS[(number - 1) % len(_COLOURS)]),
            )
        )
    return described


def _algorithm(card: ModelCard) -> hd.AlgorithmIdentificationSequence:
    return hd.AlgorithmIdentificationSequence(
        name=long_string(card.name),
        version=long_string(card.version),
        family=codes.ARTIFICIAL_INTELLIGENCE,
        source=MANUFACTURER,
        parameters={"weights": f"sha256 {card.sha256[:16]}", "family": ascii_text(card.family)},
    )


def _place_in_a_plane(ds: Dataset, analysis: Analysis, view: NamedView) -> None:
    """Nominal geometry: without it OHIF shows a black page for the whole study.

    The plane is what viewers assume for an image without orientation; it says nothing of the
    patient. A frame of reference of its own keeps it apart from every other image (A.51.5).
    """
    result = view.result
    shared = ds.SharedFunctionalGroupsSequence[0]
    orientation = Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([_pixel_measures(result)])
    if not result.recombined.get("FrameOfReferenceUID"):
        ds.FrameOfReferenceUID = result_uid(analysis, "frame of reference", view.key)
        ds.PositionReferenceIndicator = ""
    if result.recombined.get("PatientOrientation"):
        ds.add(result.recombined["PatientOrientation"])
    ds.ImageLaterality = result.pair.laterality  # not Laterality: the image has its own (C.7.3.1)
    ds.BodyPartExamined = "BREAST"


def _pixel_measures(result: ViewResult) -> Dataset:
    """Spacing in the plane of the breast: viewers that place by millimetres need the same one.

    An image without spacing gets 1 mm, as viewers assume for it; the report gives no sizes then.
    """
    measures = Dataset()
    measures.PixelSpacing = [f"{value:.10g}" for value in result.spacing_mm or (1.0, 1.0)]
    measures.SliceThickness = measures.SpacingBetweenSlices = "1"  # nominal, as the plane is
    return measures


def _index_frames(ds: Dataset, analysis: Analysis, view: NamedView) -> None:
    """Two dimension indices and a segment number in each frame, which dwv and highdicom read."""
    organization = result_uid(analysis, "dimension organization", view.key)
    ds.DimensionOrganizationSequence[0].DimensionOrganizationUID = organization
    indices = []
    for pointer, group in (_SEGMENT_POINTER, _POSITION_POINTER):
        index = Dataset()
        index.DimensionOrganizationUID = organization
        index.DimensionIndexPointer, index.FunctionalGroupPointer = pointer, group
        indices.append(index)
    ds.DimensionIndexSequence = Sequence(indices)
    shared = ds.SharedFunctionalGroupsSequence[0]
    if "SegmentIdentificationSequence" in shared:
        del shared.SegmentIdentificationSequence
    for number, frame in enumerate(ds.PerFrameFunctionalGroupsSequence, start=1):
        segment = Dataset()
        segment.ReferencedSegmentNumber = number
        frame.SegmentIdentificationSequence = Sequence([segment])
        position = Dataset()
        position.ImagePositionPatient = [0, 0, 0]
        frame.PlanePositionSequence = Sequence([position])
        frame.FrameContentSequence[0].DimensionIndexValues = [number, 1]


def _sign(ds: Dataset, analysis: Analysis, view: NamedView) -> None:
    lesions = count(len(view.result.lesions), "lesion")
    place = Place(
        role=Role.SEG,
        key=view.key,
        modality="SEG",
        number=view.number,
        series_description=f"AI {view.name}: {lesions}, research use {NOT_REVIEWED}",
    )
    stamp(ds, analysis, view.result.recombined, place)


def warm_up() -> None:
    """Fill highdicom's attribute maps: 0.5 s that the first exam would wait for otherwise."""
    image = Dataset()
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    image.SOPInstanceUID = image.StudyInstanceUID = image.SeriesInstanceUID = "2.25.1"
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="warm-up",
        segmented_property_category=codes.ABNORMAL_STRUCTURE,
        segmented_property_type=codes.ENHANCING_LESION,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )
    hd.seg.Segmentation(
        source_images=[_miniature(image)],
        pixel_array=np.ones((1, _MINIATURE, _MINIATURE, 1), dtype=np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid="2.25.2",
        series_number=1,
        sop_instance_uid="2.25.3",
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions="0",
        device_serial_number="0",
    )
