"""From stored pixels to the network's input."""

from __future__ import annotations

from functools import partial
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.domain.spacing import spacing_of
from dicom_node.errors import UnsuitableExam
from worker.contracts import SourceImage
from worker.decoder import decode_apart
from worker.exam.frame import to_source
from worker.exam.lesions import outline
from worker.exam.pixels import BRIGHTEST, OUTSIDE, prepare, prepare_arrays
from worker.exam.pixels import read_source as read_source_by

read_source = partial(read_source_by, decompress=decode_apart)

ROWS, COLUMNS = 832, 640


def dataset(pixels, **elements):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def breast(side, *, lesion=None, rows=ROWS, columns=COLUMNS):
    """A half ellipse at the chest wall of ``side``, with a bright disc (x, y, radius)."""
    y, x = np.mgrid[:rows, :columns] + 0.5
    across = x if side == "L" else columns - x
    body = ((y - rows / 2) / (0.42 * rows)) ** 2 + (across / (0.6 * columns)) ** 2 < 1
    tissue = 900 + 150 * np.sin(x / 17) * np.cos(y / 23)
    low = np.where(body, tissue, 0)
    rec = np.where(body, 700 + 20 * np.sin(y / 9), 0)
    if lesion is not None:
        disc = (x - lesion[0]) ** 2 + (y - lesion[1]) ** 2 < lesion[2] ** 2
        rec = np.where(disc & body, 1500, rec)
    return low.astype(np.uint16), rec.astype(np.uint16)


def sources(side, low, rec, **elements):
    orientation = {"L": ["A", "R"], "R": ["P", "L"]}[side]
    return tuple(
        read_source(dataset(p, ImageLaterality=side, PatientOrientation=orientation, **elements))
        for p in (low, rec)
    )


def test_monochrome1_shows_the_same_as_monochrome2():
    low, _ = breast("L")
    inverted = (low.max() - low).astype(np.uint16)
    plain = read_source(dataset(low)).pixels
    for elements in (
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PresentationLUTShape": "INVERSE"},
    ):
        np.testing.assert_array_equal(read_source(dataset(inverted, **elements)).pixels, plain)


def test_padding_becomes_the_lowest_valid_value_whatever_the_polarity():
    low, _ = breast("L")
    low = (low + 10).astype(np.uint16)
    low[:, -50:] = 4000
    padded = read_source(dataset(low, PixelPaddingValue=4000)).pixels
    assert padded.max() < 2000
    assert set(np.unique(padded[:, -50:])) == {10.0}
    elements = {"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 3990}
    inverted = read_source(dataset(low, PhotometricInterpretation="MONOCHROME1", **elements)).pixels
    assert set(np.unique(inverted[:, -50:])) == {inverted.min()}


def test_signed_pixels_are_read():
    low, _ = breast("R")
    signed = (low.astype(np.int16) - 1000).astype(np.int16)
    np.testing.assert_array_equal(
        read_source(dataset(signed)).pixels, low.astype(np.float32) - 1000
    )


def test_the_header_of_a_source_has_no_pixels_and_the_data_set_keeps_them():
    ds = dataset(breast("L")[0], PatientID="1")
    header = read_source(ds).ds
    assert "PixelData" not in header
    assert header.PatientID == "1"
    assert header.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert len(ds.PixelData) == ROWS * COLUMNS * 2


@pytest.mark.parametrize("side", ["L", "R"])
def test_the_chest_wall_is_on_the_left_of_the_grid(side):
    view = prepare(*sources(side, *breast(side)))
    assert view.frame.flipped == (side == "R")
    inside = (view.image[0] > OUTSIDE).sum(axis=0)
    assert inside[:8].mean() > 3 * inside[-40:].mean()


@pytest.mark.parametrize("side", ["L", "R"])
def test_pixels_overrule_a_header_that_says_the_other_side(side):
    low, rec = breast(side)
    wrong = {"L": ["P", "L"], "R": ["A", "R"]}[side]
    images = [read_source(dataset(p, PatientOrientation=wrong)) for p in (low, rec)]
    assert prepare(*images).frame.flipped == (side == "R")


def test_the_header_decides_where_the_pixels_do_not():
    full = np.full((ROWS, COLUMNS), 100.0, dtype=np.float32)
    full[:60] = 0
    full[-60:] = 0
    for flipped in (True, False):
        assert prepare_arrays(full, full, flipped=flipped).frame.flipped is flipped


def test_labels_and_black_bars_do_not_move_the_breast():
    low, rec = breast("L")
    clean = prepare_arrays(low.astype(np.float32), rec.astype(np.float32))
    low[40:70, 540:620] = 4000  # "L CC" burned in
    rec[40:70, 540:620] = 4000
    rec[:, :6] = 0  # a dark bar at the chest wall
    low[ROWS // 2 - 8 : ROWS // 2 + 8, 380:396] = 4000  # a nipple marker
    marked = prepare_arrays(low.astype(np.float32), rec.astype(np.float32))
    clean_box = np.array([clean.frame.top, clean.frame.left, clean.frame.bottom, clean.frame.right])
    frame = marked.frame
    assert np.abs(clean_box - [frame.top, frame.left, frame.bottom, frame.right]).max() <= 16
    assert marked.image.max() <= BRIGHTEST


def test_normalisation_forgets_gain_and_offset():
    low, rec = (p.astype(np.float32) for p in breast("L", lesion=(150, 400, 20)))
    one, other = prepare_arrays(low, rec), prepare_arrays(low * 3, rec / 2)
    np.testing.assert_allclose(one.image, other.image, atol=1e-3)
    assert one.image.dtype == np.float32
    assert one.image.shape == (2, 512, 288)


@pytest.mark.parametrize("side", ["L", "R"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("size", [(832, 640), (1500, 900), (400, 500)])
def test_a_blob_returns_to_its_source_pixels(side, photometric, size):
    rows, columns = size
    x = columns * (0.3 if side == "L" else 0.72)
    y, radius = rows * 0.45, rows * 0.05
    low, rec = breast(side, lesion=(x, y, radius), rows=rows, columns=columns)
    if photometric == "MONOCHROME1":
        low, rec = ((4095 - p).astype(np.uint16) for p in (low, rec))
    view = prepare(*sources(side, low, rec, PhotometricInterpretation=photometric))
    probability = (view.image[1] >= 0.9 * view.image[1].max()).astype(np.float32)
    (lesion,) = outline(probability, view.frame, (0.2, 0.2), thresholds={})
    found_y, found_x = (index.mean() + 0.5 for index in np.nonzero(lesion.mask))
    network_pixel = 1 / view.frame.scale
    assert np.hypot(found_x - x, found_y - y) <= network_pixel
    assert lesion.area_px == pytest.approx(np.pi * radius**2, rel=0.08)
    assert lesion.mask.shape == (rows, columns)


def test_a_rim_of_scatter_goes_while_a_lesion_stays():
    low, rec = (p.astype(np.float32) for p in breast("L", lesion=(150, 400, 20)))
    y, x = np.mgrid[:ROWS, :COLUMNS]
    rim = 600 * np.exp(-(((np.hypot((y - ROWS / 2) / 1.1, x) - 200) / 80) ** 2))
    plain = prepare_arrays(low, rec)
    rimmed = prepare_arrays(low, np.where(low > 0, rec + rim, rec).astype(np.float32))
    lesion = plain.image[1] > 0.9 * plain.image[1].max()
    quiet = (plain.image[1] > OUTSIDE) & ~lesion
    assert rimmed.image[1][lesion].mean() > 3.5
    assert np.percentile(rimmed.image[1][quiet], 98) < 1.5


def test_images_of_different_size_are_not_a_pair():
    low, rec = (p.astype(np.float32) for p in breast("L"))
    with pytest.raises(UnsuitableExam, match="not one exposure pair"):
        prepare_arrays(low, rec[:-2])


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_an_image_without_a_breast_is_unsuitable(value):
    empty = np.full((600, 500), value, dtype=np.float32)
    with pytest.raises(UnsuitableExam, match="no breast is found"):
        prepare_arrays(empty, empty)


def test_network_corners_lie_on_the_crop():
    view = prepare(*sources("R", *breast("R")))
    frame = view.frame
    point = to_source(frame, np.array([[0.0, frame.pad_y]]))
    np.testing.assert_allclose(point, [[frame.right, frame.top]])


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        (
            {"PixelSpacing": [0.08, 0.09], "ImagerPixelSpacing": [0.1, 0.1]},
            ((0.08, 0.09), "calibrated"),
        ),
        ({"PixelSpacing": [0.08, 0.09]}, ((0.08, 0.09), "calibrated")),
        (
            {"ImagerPixelSpacing": [0.1, 0.2], "EstimatedRadiographicMagnificationFactor": 1.25},
            ((0.08, 0.16), "magnification"),
        ),
        (
            {"PixelSpacing": [0.1, 0.1], "ImagerPixelSpacing": [0.1, 0.1]},
            ((0.1, 0.1), "uncorrected"),
        ),
        (
            {"ImagerPixelSpacing": [0.1, 0.1], "EstimatedRadiographicMagnificationFactor": 0},
            ((0.1, 0.1), "uncorrected"),
        ),
        ({"ImagerPixelSpacing": [0.0, 0.1]}, (None, "none")),
        ({}, (None, "none")),
    ],
)
def test_spacing_follows_the_best_rule_the_header_allows(elements, expected):
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    spacing, rule = spacing_of(ds)
    assert rule == expected[1]
    assert spacing == (None if expected[0] is None else pytest.approx(expected[0]))


def test_a_name_in_another_script_survives_in_the_header():
    ds = dataset(breast("L")[0], SpecificCharacterSet="ISO_IR 192", PatientName="山田^花子")
    buffer = BytesIO()
    dcmwrite(buffer, ds)  # as it comes from a sender: without a preamble
    buffer.seek(0)
    read = dcmread(buffer, force=True)
    read.file_meta = ds.file_meta
    header = read_source(read).ds
    assert str(header.PatientName) == "山田^花子"
    assert len(read.PixelData) == ROWS * COLUMNS * 2


def test_a_source_image_is_float32():
    source = read_source(dataset(breast("L")[0]))
    assert isinstance(source, SourceImage)
    assert source.pixels.dtype == np.float32
