"""The Secondary Capture shows outline, heat map and notice where they belong."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from dicom_node.domain.dicom_file import file_bytes
from tests.analysis_builders import COLUMNS, ROWS, WAYS, Spot, analysis, finding, view_result
from tests.conformance.validators import dciodvfy_errors
from tests.mammogram_headers import header
from tests.report_reader import read
from worker.contracts import Analysis, ResultObject, Role
from worker.decoder import decode_apart
from worker.exam.pixels import read_source
from worker.report import preview
from worker.report.encode import encode
from worker.report.identity import NamedView, named_views
from worker.report.preview import draw, grey_picture
from worker.report.secondary_capture import secondary_capture
from worker.report.wording import picture_lines

ORANGE = np.array([255, 150, 30])


@pytest.mark.parametrize("way", WAYS)
def test_dciodvfy_finds_no_error_in_a_secondary_capture(way: str, tmp_path: Path):
    for result in _captured(way):
        file = tmp_path / f"{result.key}.dcm"
        file.write_bytes(result.content)
        assert dciodvfy_errors(file) == [], result.key


def test_every_view_with_a_picture_has_one_and_no_other():
    assert [r.key for r in _captured("positive one breast")] == ["R-CC", "R-MLO", "L-CC", "L-MLO"]
    assert not [r for r in encode(WAYS["positive one breast"]) if r.role is Role.SC]
    assert not _captured("unsuitable")


def test_the_same_view_gives_the_same_bytes():
    made = WAYS["positive one breast"]
    assert encode(made, _pictures(made)) == encode(made, _pictures(made))


def test_it_says_what_it_is_and_what_it_was_made_of():
    for view in named_views(WAYS["positive one breast"]):
        ds = _capture("positive one breast", view.key)
        side, name = view.key.split("-")
        lesions = "1 lesion" if side == "R" else "no lesion found"
        assert ds.SeriesDescription == f"AI {side} {name}: {lesions}, picture (not reviewed)"
        assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
        assert (ds.Modality, ds.Laterality, ds.ConversionType) == ("OT", side, "WSD")
        assert list(ds.ImageType) == ["DERIVED", "SECONDARY"]
        assert ds.BurnedInAnnotation == "YES"
        assert "Research use, not for diagnosis" in ds.DerivationDescription
        assert "PixelSpacing" not in ds
        assert ds.PatientOrientation == view.result.recombined.PatientOrientation
        (source,) = ds.SourceImageSequence
        assert source.ReferencedSOPInstanceUID == view.result.recombined.SOPInstanceUID
        assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert source.SpatialLocationsPreserved == "NO"  # of half the rows
        assert "LossyImageCompression" not in ds


def test_its_pixels_are_the_picture():
    made = WAYS["positive one breast"]
    ds = _capture("positive one breast", "R-CC")
    assert (ds.PhotometricInterpretation, ds.PlanarConfiguration, ds.BitsStored) == ("RGB", 0, 8)
    assert np.array_equal(ds.pixel_array, np.asarray(_pictures(made)["R-CC"]))


def test_a_picture_of_an_odd_number_of_bytes_is_padded():
    (view,) = named_views(analysis(finding("R", view_result("R", "CC"))))
    picture = np.full((3, 5, 3), 9, dtype=np.uint8)
    ds = secondary_capture(WAYS["partial"], view, picture)
    assert len(ds.PixelData) == 46
    assert ds.PixelData[:45] == picture.tobytes()


def test_a_picture_on_the_grid_of_the_image_says_so():
    (view,) = named_views(analysis(finding("R", view_result("R", "CC"))))
    picture = Image.new("RGB", (COLUMNS, ROWS))
    (source,) = secondary_capture(WAYS["partial"], view, picture).SourceImageSequence
    assert source.SpatialLocationsPreserved == "YES"


def test_loss_in_the_source_stays_known():
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "12.5",
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    made = analysis(finding("R", view_result("R", "CC", **lossy)))
    (view,) = named_views(made)
    ds = secondary_capture(made, view, _pictures(made)["R-CC"])
    for keyword, value in lossy.items():
        assert str(ds[keyword].value) == value


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((ROWS + 1, COLUMNS, 3), np.uint8),
        np.zeros((ROWS, COLUMNS), np.uint8),
        np.zeros((9, 9, 3), np.uint16),
        np.zeros((9, 9, 4), np.uint8),
    ],
    ids=["larger than its image", "grey", "16 bit", "with transparency"],
)
def test_what_is_no_picture_of_the_view_is_refused(picture: np.ndarray):
    (view,) = named_views(analysis(finding("R", view_result("R", "CC"))))
    with pytest.raises(ValueError, match="R CC: "):
        secondary_capture(WAYS["partial"], view, picture)


@pytest.mark.parametrize("way", ["positive both breasts", "two lesions", "MONOCHROME1"])
def test_the_outline_is_painted_along_every_lesion(way: str):
    for view in named_views(WAYS[way]):
        pixels = _capture(way, view.key).pixel_array.astype(int)
        for lesion in view.result.lesions:
            for x, y in lesion.outline[::10] / 2:
                row, column = int(y), int(x)
                near = pixels[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
                assert np.abs(near - ORANGE).sum(axis=2).min() < 60, (view.key, x, y)


def test_strong_heat_is_coloured_and_weak_heat_is_not():
    heat = np.zeros((512, 256), dtype=np.float32)
    heat[128:384] = 1  # the middle half of the rows, on the network's grid
    view = view_result("L", "CC", (Spot(x=500, y=100, radius=20),))
    view = replace(view, heat_map=heat)
    picture = _drawn(NamedView("L-CC", finding("L", view), view, 0))
    middle, top = (picture[rows, 20:60].astype(int) for rows in (slice(150, 260), slice(0, 90)))
    assert (middle[:, :, 0] - middle[:, :, 2]).min() > 40  # yellow
    assert np.ptp(top, axis=2).max() == 0  # grey


@pytest.mark.parametrize("side", ["L", "R"])
def test_name_probability_and_notice_are_burned_in(side: str, monkeypatch: pytest.MonkeyPatch):
    view = next(named_views(analysis(finding(side, view_result(side, "CC")))))
    with_words = _drawn(view)
    monkeypatch.setattr(preview, "_draw_words", lambda *_: None)
    written = np.abs(with_words.astype(int) - _drawn(view)).sum(axis=2) > 0
    rows, columns = written.shape
    air = slice(0, columns // 2) if side == "R" else slice(columns // 2, columns)
    assert written[-25:, air].any()
    # Four lines of 13 pixels: view, lesions, probability, what the colours are.
    slots = [written[5 + 13 * line : 15 + 13 * line, air].any() for line in range(5)]
    assert slots == [True, True, True, True, False]
    assert not written[80 : rows - 30].any()


def test_what_the_words_say(monkeypatch: pytest.MonkeyPatch):
    said = []
    monkeypatch.setattr(preview, "_draw_words", lambda _picture, _view, notes: said.append(notes))
    for view in named_views(WAYS["positive one breast"]):
        _drawn(view)
    heat = "colour: heat map of the classifier"
    assert said[0] == ["1 lesion", "Probability of malignancy 87.3 %", heat]
    assert said[2] == ["no lesion found"]


def test_a_monochrome1_image_gives_the_same_picture():
    stored = np.random.default_rng(1).integers(0, 4096, (ROWS, COLUMNS)).astype(np.uint16)
    stored[0, :2] = 0, 4095
    view = view_result("L", "CC")
    pictures = []
    for photometric, pixels in (("MONOCHROME2", stored), ("MONOCHROME1", 4095 - stored)):
        ds = header("L", "CC", PhotometricInterpretation=photometric, PixelRepresentation=0)
        ds.SamplesPerPixel, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 1, 16, 12, 11
        ds.PixelData = pixels.tobytes()
        image = read_source(read(file_bytes(ds)), decode_apart)
        pictures.append(np.asarray(draw(grey_picture(image.pixels), view, overlay="both")))
    assert np.array_equal(*pictures)


def test_a_large_image_is_shown_at_half_its_size_and_a_small_one_as_it_is():
    assert grey_picture(np.zeros((3328, 2560), np.float32)).size == (1280, 1664)
    assert grey_picture(np.zeros((4096, 3328), np.float32)).size == (1352, 1664)
    assert grey_picture(np.zeros((600, 512), np.float32)).size == (512, 600)


@cache
def _captured(way: str) -> tuple[ResultObject, ...]:
    made = WAYS[way]
    return tuple(r for r in encode(made, _pictures(made)) if r.role is Role.SC)


def _capture(way: str, key: str) -> Dataset:
    return next(read(r.content) for r in _captured(way) if r.key == key)


def _pictures(made: Analysis) -> dict[str, Image.Image]:
    return {view.key: Image.fromarray(_drawn(view)) for view in named_views(made)}


def _drawn(view: NamedView) -> np.ndarray:
    """A half disc at the chest wall under the view's marks, at half the image's size."""
    rows, columns = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)
    wall = COLUMNS if view.result.frame.flipped else 0
    radius = np.hypot((rows - ROWS / 2) / 1.2, columns - wall)
    pixels = np.where(radius < 300, 1000 + 300 * np.cos(rows / 20), 0).astype(np.float32)
    lines = picture_lines(view.finding, view.result)
    grey = grey_picture(pixels, ROWS // 2)
    return np.asarray(draw(grey, view.result, overlay="both", lines=lines))
