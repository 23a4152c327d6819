"""Published pictures become CEM DICOM, or a refusal that helps."""

import numpy as np
import pydicom
import pytest
from PIL import Image

from worker.training.dicomize import UnusablePicture, dicomize
from worker.training.phantom import phantom_exam
from worker.training.register import apply, believable, register

SIZE = {"rows": 640, "columns": 520, "spacing_mm": 0.34}


@pytest.fixture(scope="module")
def views():
    found = phantom_exam(7, **SIZE, views=(("L", "CC"), ("R", "MLO"), ("L", "MLO"))).views
    return {(view.laterality, view.view): view for view in found}


def eight_bits(image):
    return (image >> 4).astype(np.uint8)


def cropped(image, top, left):
    """The image as a publisher crops it: its upper left corner cut off, same everything else."""
    return np.ascontiguousarray(eight_bits(image)[top:, left:])


def write_pair(folder, view, name="P7", *, top=20, left=0, ending=""):
    low = folder / f"{name}_{view.laterality}_DM_{view.view}{ending}.png"
    recombined = folder / f"{name}_{view.laterality}_CM_{view.view}{ending}.png"
    Image.fromarray(cropped(view.low_energy, top, left)).save(low)
    Image.fromarray(eight_bits(view.recombined)).save(recombined)
    return [low, recombined]


@pytest.mark.parametrize(("top", "left"), [(0, 0), (24, 0), (31, 9)])
def test_a_known_shift_is_found_within_two_pixels(views, top, left):
    view = views["R", "MLO"]
    low = cropped(view.low_energy, top, left).astype(np.float32)

    found = register(low, eight_bits(view.recombined).astype(np.float32))

    assert believable(found)
    assert (found.down, found.right) == pytest.approx((top, left), abs=2)
    assert found.scale == 1.0


def test_a_low_energy_image_put_back_lies_on_itself(views):
    view = views["L", "CC"]
    low = cropped(view.low_energy, 25, 0).astype(np.float32)
    recombined = eight_bits(view.recombined).astype(np.float32)

    moved = apply(register(low, recombined), low, recombined.shape)

    assert moved.shape == recombined.shape
    whole = eight_bits(view.low_energy).astype(np.float32)
    assert np.corrcoef(moved[40:].ravel(), whole[40:].ravel())[0, 1] > 0.95


def test_the_recombined_grid_stays_and_both_images_share_it(views, tmp_path):
    view = views["R", "MLO"]

    files = dicomize(write_pair(tmp_path, view, top=24), tmp_path / "out")

    low, recombined = (pydicom.dcmread(file) for file in files)
    assert low.pixel_array.shape == recombined.pixel_array.shape == (640, 520)
    expected = eight_bits(view.recombined).astype(float) * 4095 / 255
    assert np.abs(recombined.pixel_array - expected).max() <= 0.5
    assert "moved +2" in low.DerivationDescription
    assert "spacing assumed: 0.1 mm" in low.ImageComments
    assert [str(v) for v in low.ImagerPixelSpacing] == ["0.1", "0.1"]
    assert low.StudyInstanceUID == recombined.StudyInstanceUID
    assert low.FrameOfReferenceUID == recombined.FrameOfReferenceUID
    assert "KVP" not in low


def test_orientation_follows_the_pixels_even_where_they_were_mirrored(views, tmp_path):
    pictures = write_pair(tmp_path, views["L", "CC"], top=0)
    for picture in pictures:
        with Image.open(picture) as image:
            mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        mirrored.save(picture)

    files = dicomize(pictures, tmp_path / "out")

    for file in files:
        assert list(pydicom.dcmread(file).PatientOrientation) == ["P", "R"]


def test_names_with_a_blank_before_the_ending_are_read(views, tmp_path):
    pictures = write_pair(tmp_path, views["L", "CC"], top=0, ending=" ")

    assert [path.name for path in dicomize(pictures, tmp_path / "out")] == [
        "P7_L_CC_low_energy.dcm",
        "P7_L_CC_recombined.dcm",
    ]


def test_views_of_one_patient_are_one_study_or_one_per_side(views, tmp_path):
    both = (views["L", "CC"], views["R", "MLO"])
    pictures = [path for view in both for path in write_pair(tmp_path, view, top=0)]

    def studies(**wish):
        files = dicomize(pictures, tmp_path / "out", **wish)
        return len({pydicom.dcmread(f, stop_before_pixels=True).StudyInstanceUID for f in files})

    assert studies() == 1
    assert studies(study_per="side") == 2


def test_another_run_makes_another_study_and_the_same_run_the_same(views, tmp_path):
    pictures = write_pair(tmp_path, views["L", "CC"], top=0)

    def uid(run):
        file = dicomize(pictures, tmp_path / "out", run=run)[0]
        return pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID

    assert uid("a") == uid("a") != uid("b")


def test_a_pair_with_its_view_given_needs_no_telling_names(views, tmp_path):
    low, recombined = (tmp_path / name for name in ("first.jpg", "second.jpg"))
    view = views["L", "MLO"]
    Image.fromarray(eight_bits(view.low_energy)).convert("RGB").save(low, quality=92)
    Image.fromarray(eight_bits(view.recombined)).convert("RGB").save(recombined, quality=92)

    files = dicomize([low, recombined], tmp_path / "out", laterality="L", view="MLO", dialect="ge")

    ds = pydicom.dcmread(files[1])
    assert (ds.ImageLaterality, ds.ViewPosition) == ("L", "MLO")
    assert list(ds.ImageType) == ["DERIVED", "PRIMARY", "", "RECOMBINED"]
    assert ds.LossyImageCompression == "01"
    again = dicomize(
        [low, recombined], tmp_path / "out", laterality="L", view="MLO", declare_lossy=False
    )
    assert pydicom.dcmread(again[0]).LossyImageCompression == "00"


def test_two_different_breasts_are_refused(views, tmp_path):
    low = write_pair(tmp_path, views["L", "CC"], top=0)[0]
    other = write_pair(tmp_path, views["R", "MLO"], top=0)[1]

    with pytest.raises(UnusablePicture, match=r"does not fit .* mirrored"):
        dicomize([low, other], tmp_path / "out", laterality="L", view="CC")


def test_a_picture_without_partner_is_refused_by_the_name_that_is_missing(views, tmp_path):
    low = write_pair(tmp_path, views["L", "CC"])[0]

    with pytest.raises(UnusablePicture, match=r"no partner; add P7_L_CM_CC\.png"):
        dicomize([low], tmp_path / "out")


def test_a_name_that_says_nothing_is_refused(tmp_path):
    with pytest.raises(UnusablePicture, match="does not say patient, side, kind, view"):
        dicomize([tmp_path / "scan.jpg"], tmp_path / "out")


def test_the_same_view_twice_is_refused(tmp_path):
    twice = [tmp_path / "P1_L_DM_CC.jpg", tmp_path / "P1_L_DM_CC .jpg"]

    with pytest.raises(UnusablePicture, match="is already that view"):
        dicomize(twice, tmp_path / "out")


def test_a_file_that_is_no_picture_is_refused(tmp_path):
    pair = [tmp_path / "P1_L_DM_CC.jpg", tmp_path / "P1_L_CM_CC.jpg"]
    for path in pair:
        path.write_bytes(b"no picture")

    with pytest.raises(UnusablePicture, match="not a picture that can be read"):
        dicomize(pair, tmp_path / "out")


def test_a_truncated_picture_is_refused(views, tmp_path):
    pair = write_pair(tmp_path, views["L", "CC"])
    pair[1].write_bytes(pair[1].read_bytes()[:2000])

    with pytest.raises(UnusablePicture, match="not a picture that can be read"):
        dicomize(pair, tmp_path / "out")


def test_a_picture_with_real_colour_is_refused(views, tmp_path):
    pair = write_pair(tmp_path, views["L", "CC"])
    with Image.open(pair[1]) as image:
        colour = np.stack([np.asarray(image)] * 3, axis=-1)
    colour[100:200, 100:200, 0] = 255
    Image.fromarray(colour).save(pair[1])

    with pytest.raises(UnusablePicture, match="a colour picture"):
        dicomize(pair, tmp_path / "out")


def test_a_thumbnail_is_refused(tmp_path):
    pair = [tmp_path / "P1_L_DM_CC.png", tmp_path / "P1_L_CM_CC.png"]
    for path in pair:
        Image.fromarray(np.zeros((200, 150), np.uint8)).save(path)

    with pytest.raises(UnusablePicture, match="at least 512"):
        dicomize(pair, tmp_path / "out")


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"laterality": "L"}, "give both"),
        ({"laterality": "B", "view": "CC"}, "L or R"),
        ({"laterality": "L", "view": "CC"}, "give two"),
    ],
)
def test_a_view_given_by_halves_is_refused(tmp_path, wish, message):
    with pytest.raises(UnusablePicture, match=message):
        dicomize([tmp_path / "a.png"], tmp_path / "out", **wish)
