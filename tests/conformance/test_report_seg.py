"""Segmentations hold the masks bit for bit, on the image that they name."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.domain.identifiers import is_uid
from tests.analysis_builders import (
    WAYS,
    Spot,
    analysis,
    encoded,
    finding,
    header,
    negative_breast,
    view_result,
)
from worker.contracts import Analysis, Role
from worker.report.encode import encode
from worker.report.seg import warm_up

TWO = (Spot(), Spot(x=420.0, y=600.0, radius=20.0))


@pytest.mark.parametrize("shape", [(832, 640), (829, 637)])
@pytest.mark.parametrize("spots", [TWO[:1], TWO])
def test_reading_back_gives_the_masks_bit_for_bit(spots: tuple[Spot, ...], shape: tuple[int, int]):
    view = view_result("R", "CC", spots, shape=shape)
    seg = _segread(analysis(finding("R", view)))
    pixels = seg.get_pixels_by_source_instance([view.recombined.SOPInstanceUID])
    assert pixels.shape == (1, *shape, len(spots))
    for number, lesion in enumerate(view.lesions):
        assert np.array_equal(pixels[0, :, :, number].astype(bool), lesion.mask)


def test_a_view_without_a_lesion_gets_no_segmentation():
    mixed = finding("R", view_result("R", "CC"), view_result("R", "MLO", ()))
    results = encode(analysis(mixed, negative_breast("L")))
    assert [r.key for r in results if r.role is Role.SEG] == ["R-CC"]


def test_repeated_views_get_keys_and_objects_of_their_own():
    first = view_result("R", "CC")
    second = view_result("R", "CC", SOPInstanceUID="2.25.77", SeriesInstanceUID="2.25.78")
    segs = [r for r in encode(analysis(finding("R", first, second))) if r.role is Role.SEG]
    assert [r.key for r in segs] == ["R-CC", "R-CC-2"]
    assert len({r.sop_instance_uid for r in segs}) == 2
    assert len({_read(r.content).SegmentSequence[0].TrackingUID for r in segs}) == 2


def test_each_segmentation_references_one_image_in_a_series_of_its_own():
    made = WAYS["positive both breasts"]
    segs = _segs(made)
    images = [str(v.recombined.SOPInstanceUID) for f in made.findings for v in f.views]
    referenced = []
    for ds in segs:
        (series,) = ds.ReferencedSeriesSequence
        (instance,) = series.ReferencedInstanceSequence
        referenced.append(instance.ReferencedSOPInstanceUID)
        for frame in ds.PerFrameFunctionalGroupsSequence:
            (source,) = frame.DerivationImageSequence[0].SourceImageSequence
            assert source.ReferencedSOPInstanceUID == instance.ReferencedSOPInstanceUID
            assert source.SpatialLocationsPreserved == "YES"
    assert referenced == images
    assert len({ds.SeriesInstanceUID for ds in segs}) == len(segs)
    assert len({ds.SeriesNumber for ds in segs}) == len(segs)


def test_the_series_that_is_referenced_is_the_one_of_the_image():
    (ds,) = _segs(analysis(finding("R", view_result("R", "CC"))))
    assert ds.ReferencedSeriesSequence[0].SeriesInstanceUID == header().SeriesInstanceUID


@pytest.mark.parametrize("way", ["positive one breast", "GE dialect", "a sparse header"])
def test_viewers_find_the_plane_that_they_need(way: str):
    for ds in _segs(WAYS[way]):
        shared = ds.SharedFunctionalGroupsSequence[0]
        assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
        spacing = shared.PixelMeasuresSequence[0].PixelSpacing
        assert spacing == pytest.approx([0.28 / 1.0625] * 2)
        assert is_uid(ds.FrameOfReferenceUID)
        assert len(ds.DimensionIndexSequence) == 2
        for number, frame in enumerate(ds.PerFrameFunctionalGroupsSequence, start=1):
            assert frame.PlanePositionSequence[0].ImagePositionPatient == [0, 0, 0]
            assert frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number
            assert frame.FrameContentSequence[0].DimensionIndexValues == [number, 1]


def test_the_frame_of_reference_is_the_images_own_or_a_new_one_that_no_image_shares():
    (own,) = _segs(analysis(finding("R", view_result("R", "CC"))))
    assert own.FrameOfReferenceUID == header().FrameOfReferenceUID
    frames = [ds.FrameOfReferenceUID for ds in _segs(WAYS["GE dialect"])]
    assert len(set(frames)) == 2


def test_segments_say_which_breast_and_what_made_them():
    for ds in _segs(WAYS["positive both breasts"]):
        side = ds.ImageLaterality
        for segment in ds.SegmentSequence:
            region = segment.AnatomicRegionSequence[0]
            assert region.CodeValue == "76752008"
            modifier = region.AnatomicRegionModifierSequence[0].CodeMeaning
            assert modifier == {"R": "Right", "L": "Left"}[side]
            assert segment.SegmentLabel.startswith(f"{side} ")
            assert segment.SegmentAlgorithmType == "AUTOMATIC"
            algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
            assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("FAPS", "0.1.0")
            assert len(segment.RecommendedDisplayCIELabValue) == 3


def test_a_lossy_image_makes_a_segmentation_that_says_so():
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "8",
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    (ds,) = _segs(analysis(finding("R", view_result("R", "CC", **lossy))))
    assert ds.LossyImageCompression == "01"


def test_overlapping_lesions_are_declared_and_kept():
    view = view_result("R", "CC", (Spot(), Spot(x=270.0)))
    (ds,) = _segs(analysis(finding("R", view)))
    assert ds.SegmentsOverlap == "YES"
    assert np.array_equal(ds.pixel_array.astype(bool), np.stack([v.mask for v in view.lesions]))


def test_a_mask_of_another_grid_is_refused_with_both_shapes():
    good = view_result("R", "CC")
    bad = replace(good, recombined=header(shape=(400, 300)))
    with pytest.raises(ValueError, match=r"R CC lesion 1: the mask is \(832, 640\).*\(400, 300\)"):
        encode(analysis(finding("R", bad)))


def test_an_empty_mask_is_refused():
    good = view_result("R", "CC")
    nothing = replace(good.lesions[0], mask=np.zeros_like(good.lesions[0].mask))
    with pytest.raises(ValueError, match="R CC lesion 1: the mask is empty"):
        encode(analysis(finding("R", replace(good, lesions=(nothing,)))))


def test_warming_up_needs_nothing_and_changes_no_result():
    before = encode(analysis(finding("R", view_result("R", "CC"))))
    warm_up()
    assert encode(analysis(finding("R", view_result("R", "CC")))) == before


def _segs(made: Analysis) -> list[Dataset]:
    return [_read(r.content) for r in encoded(made) if r.role is Role.SEG]


def _segread(made: Analysis) -> hd.seg.Segmentation:
    (content,) = [r.content for r in encoded(made) if r.role is Role.SEG]
    return hd.seg.segread(BytesIO(content))


def _read(content: bytes) -> Dataset:
    return dcmread(BytesIO(content))
