"""OHIF shows what the node returned: masks, outlines and numbers on the right image."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MammographyCADSRStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from tests.peers import wait_until
from tests.viewers.chromium import Chromium
from tests.viewers.conftest import Returned
from tests.viewers.ohif import Ohif, Shown, ohif
from tests.viewers.promised import PROBABILITY_OF_CANCER, Region, Segment, regions, segments

pytestmark = [pytest.mark.slow, pytest.mark.orthanc, pytest.mark.timeout(900)]
# docs/viewers.md says so.
NOT_SHOWN = (
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MammographyCADSRStorage,
)


def test_every_mask_is_listed_and_lies_over_its_image_in_its_colour(
    returned: Returned, browser: Chromium
) -> None:
    for ds in returned.of_class(SegmentationStorage):
        promised = segments(ds)
        with ohif(browser, returned.archive.url, returned.study, returned.series) as viewer:
            name = viewer.open_series(str(ds.SeriesInstanceUID))
            viewer.say_yes()
            assert viewer.segments(name) == [one.label for one in promised]
            viewer.tab.click("#panelSegmentation-btn")
            on = keep(returned, viewer, ds)
            assert all(one.label in viewer.words() for one in promised)
            shown = viewer.shown()
            assert {shown.sop} == {one.source for one in promised}
            assert_lesion_is_there(returned, shown.sop)
            viewer.switch_segmentation(on=False)
            off = viewer.tab.picture_at_rest()
        assert_painted(shown, promised, on, off)


def test_every_region_is_drawn_on_its_image_with_our_probability(
    returned: Returned, browser: Chromium
) -> None:
    reports = [ds for ds in returned.of_class(Comprehensive3DSRStorage) if regions(ds)]
    assert reports
    for ds in reports:
        promised = regions(ds)
        # One report for each image: OHIF draws the first image's regions alone.
        (source,) = {one.source for one in promised}
        with ohif(browser, returned.archive.url, returned.study, returned.series) as viewer:
            viewer.open_series(str(ds.SeriesInstanceUID))
            wait_until(lambda v=viewer, s=source: v.shown().sop == s, "the report's image", 60)
            viewer.tab.picture_at_rest()
            viewer.touch()
            keep(returned, viewer, ds)
            shown = viewer.shown()
        assert_lesion_is_there(returned, source)
        for one in promised:
            assert drawn(shown, one), (shown.lines, one.outline)
            probability = f"{one.numbers[PROBABILITY_OF_CANCER]:.2f}"
            assert probability in " ".join(shown.words), shown.words


def test_pictures_open_as_images_and_what_ohif_cannot_show_is_what_the_page_says(
    returned: Returned, browser: Chromium
) -> None:
    (picture, *_) = returned.of_class(SecondaryCaptureImageStorage)
    with ohif(browser, returned.archive.url, returned.study, returned.series) as viewer:
        listed = viewer.series()
        unsupported = {one["series"] for one in listed if one["unsupported"]}
        expected = [ds for sop_class in NOT_SHOWN for ds in returned.of_class(sop_class)]
        assert {ds.SOPClassUID for ds in expected} == set(NOT_SHOWN)
        assert unsupported == {ds.SeriesInstanceUID for ds in expected}
        # The list is what a reader sees first: no result without its description.
        descriptions = {one["series"]: one["description"] for one in listed}
        for ds in returned.objects:
            assert descriptions[ds.SeriesInstanceUID] == ds.SeriesDescription
        viewer.open_series(str(picture.SeriesInstanceUID))
        uid = str(picture.SOPInstanceUID)
        wait_until(lambda: viewer.shown().sop == uid, "the picture", 60)
        seen = viewer.shown().on_image(keep(returned, viewer, picture))
    # Heat, its scale and the outline are the only colours there are.
    assert (np.ptp(seen, axis=-1) > 40).sum() > 100


def assert_lesion_is_there(returned: Returned, uid: str) -> None:
    """The phantom has a lesion in this view, and the image is the recombined one."""
    image = returned.image(uid)
    view = str(image.ViewPosition)
    assert returned.truth[str(image.ImageLaterality), view]["lesions"]
    assert "LOW_ENERGY" not in image.ImageType


def assert_painted(shown: Shown, promised: list[Segment], on: np.ndarray, off: np.ndarray) -> None:
    """What changes when the masks are switched off is the masks, towards their colours."""
    painted = shown.within(np.abs(on - off).max(axis=2) > 12)
    masks = [shown.mask_on_page(one.mask) for one in promised]
    union = np.logical_or.reduce(masks)
    assert union.sum() > 100
    overlap = (painted & union).sum() / (painted | union).sum()
    assert overlap >= 0.6, f"IoU {overlap:.2f}"
    for one, mask in zip(promised, masks, strict=True):
        change = (on - off)[mask & painted].astype(float)
        wanted = one.colour - off[mask & painted]
        length = np.linalg.norm(change, axis=1) * np.linalg.norm(wanted, axis=1)
        assert np.median((change * wanted).sum(axis=1) / np.maximum(length, 1)) > 0.8, one.label


def drawn(shown: Shown, region: Region) -> bool:
    """A line of the viewport covers the region's box."""
    points = shown.on_page(region.outline)
    low, high = points.min(axis=0), points.max(axis=0)
    for line in np.array(shown.lines).reshape(-1, 2, 2):
        inner = np.prod(np.clip(np.minimum(line[1], high) - np.maximum(line[0], low), 0, None))
        both = np.prod(line[1] - line[0]) + np.prod(high - low) - inner
        if both > 0 and inner / both > 0.7:
            return True
    return False


def keep(returned: Returned, viewer: Ohif, ds: Dataset) -> np.ndarray:
    """What the reader sees, also as a file beside the returned objects."""
    picture = viewer.tab.picture_at_rest()
    name = f"ohif_{ds.Modality}_{ds.SeriesNumber}.png"
    Image.fromarray(picture.astype(np.uint8)).save(returned.folder / name)
    return picture
