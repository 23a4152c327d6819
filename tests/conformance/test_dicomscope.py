"""A real viewer draws the outlines of a presentation state around the lesion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from scipy import ndimage

from dicom_node.domain.dicom_file import file_bytes
from tests.analysis_builders import Spot, analysis, finding, view_result
from tests.dicomscope import VIEW, screen, shown
from tests.report_reader import written
from worker.contracts import Role, ViewResult

# Shown at exactly half its size: at 1.006 DICOMscope scales the image and not the marks.
SHAPE = (1664, 1280)
SPOT = Spot(x=660.0, y=840.0, radius=120.0)


@pytest.mark.slow
@pytest.mark.dcmtk
def test_dicomscope_draws_the_outline_on_the_edge_of_the_lesion(tmp_path: Path) -> None:
    window = {"WindowCenter": "2048", "WindowWidth": "4096"}
    view = view_result("L", "CC", (SPOT,), shape=SHAPE, **window)
    (state,) = written(analysis(finding("L", view)), tmp_path, Role.GSPS)
    image = tmp_path / "image.dcm"
    image.write_bytes(file_bytes(_with_pixels(view)))
    bare = dcmread(state)
    del bare.GraphicAnnotationSequence, bare.GraphicLayerSequence
    bare.save_as(tmp_path / "bare.dcm")
    with screen() as display:
        with_marks = shown([image, state], tmp_path / "marks", display)
        without = shown([image, tmp_path / "bare.dcm"], tmp_path / "plain", display)
    Image.fromarray(with_marks.astype(np.uint8)).save(tmp_path / "shown.png")

    with_marks, without = with_marks[VIEW], without[VIEW]
    drawn = np.abs(with_marks - without) > 40
    lesion = _largest(np.abs(without - 150) < 25)  # in the picture as it is without the marks
    edge = lesion & ~ndimage.binary_erosion(lesion)
    from_drawn = ndimage.distance_transform_edt(~drawn)
    assert edge.sum() > 100
    assert np.mean(from_drawn[edge] < 3) > 0.98
    # The label above it and the notice at the bottom are drawn too.
    rows = np.flatnonzero((drawn & (ndimage.distance_transform_edt(~lesion) > 6)).any(axis=1))
    top, bottom = np.flatnonzero(lesion.any(axis=1))[[0, -1]]
    assert rows.min() < top
    assert rows.max() > bottom


def _with_pixels(view: ViewResult) -> Dataset:
    """The recombined image of ``view``: dark breast, bright lesion, nothing beside it."""
    ds = view.recombined
    (lesion,) = view.lesions
    pixels = np.full(lesion.mask.shape, 800, dtype=np.uint16)
    pixels[lesion.mask] = 2400  # about 150 of 255 in the window
    ds.SamplesPerPixel, ds.PixelRepresentation = 1, 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def _largest(mask: np.ndarray) -> np.ndarray:
    labels, _ = ndimage.label(mask)
    return labels == 1 + np.bincount(labels.ravel())[1:].argmax()
