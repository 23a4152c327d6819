"""The outlined lesions of one view as a Label Map Segmentation: the newest form, one frame."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_node.domain.dimse import LABEL_MAP_SEGMENTATION_STORAGE
from worker.contracts import Analysis, Role
from worker.report.identity import NamedView, Place, stamp
from worker.report.wording import NOT_REVIEWED, count

_BITS = 8
_POSITION = 0x00200032


def label_map(analysis: Analysis, view: NamedView, binary: Dataset) -> Dataset:
    """``binary``, the view's BINARY Segmentation, as labels: 0 is background, n is segment n.

    Without an item for the background in the Segment Sequence: with it OHIF shifts labels and
    colours by one. Lesions are components of one mask, so that no pixel has two labels.
    """
    ds = deepcopy(_without_pixels(binary))
    labels = np.zeros((int(ds.Rows), int(ds.Columns)), dtype=np.uint8)
    for number, lesion in enumerate(view.result.lesions, start=1):
        labels[lesion.mask] = number
    ds.SOPClassUID = LABEL_MAP_SEGMENTATION_STORAGE
    ds.SegmentationType = "LABELMAP"
    ds.SegmentsOverlap = "NO"
    ds.NumberOfFrames = 1
    ds.BitsAllocated = ds.BitsStored = _BITS
    ds.HighBit = _BITS - 1
    ds.PixelPaddingValue = 0
    ds["PixelPaddingValue"].VR = "US"
    ds.PresentationLUTShape = "IDENTITY"
    ds.PixelData = labels.tobytes() + b"\0" * (labels.size % 2)
    ds["PixelData"].VR = "OB"
    _one_frame(ds)
    stamp(
        ds,
        analysis,
        view.result.recombined,
        Place(
            role=Role.LABELMAP,
            key=view.key,
            modality="SEG",
            number=view.number,
            series_description=f"AI {view.name}: {count(len(view.result.lesions), 'lesion')} as "
            f"label map {NOT_REVIEWED}",
        ),
    )
    return ds


def _without_pixels(binary: Dataset) -> Dataset:
    """Everything else: a frame of each lesion need not be copied."""
    ds = Dataset()
    for element in binary:
        if element.keyword != "PixelData":
            ds.add(element)
    return ds


def _one_frame(ds: Dataset) -> None:
    """The first frame stands for all: labels tell the segments apart, not frames."""
    frame = ds.PerFrameFunctionalGroupsSequence[0]
    del frame.SegmentIdentificationSequence
    frame.FrameContentSequence[0].DimensionIndexValues = [1]
    ds.PerFrameFunctionalGroupsSequence = Sequence([frame])
    ds.DimensionIndexSequence = Sequence(
        [item for item in ds.DimensionIndexSequence if item.DimensionIndexPointer == _POSITION]
    )
