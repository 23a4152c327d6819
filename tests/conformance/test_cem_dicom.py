"""The CEM objects this product makes, judged by other makers' tools and read back."""

import json
from datetime import UTC, datetime

import numpy as np
import pydicom
import pytest

from dicom_node.domain.exam import pair
from dicom_node.domain.header import header_from
from dicom_node.domain.identifiers import derive_uid
from dicom_node.domain.instance import ImageKind
from tests.conformance.validators import dciodvfy_errors
from worker.training.cem_dicom import DIALECTS, ENERGIES, CemImage, cem_dataset
from worker.training.phantom import phantom_exam
from worker.training.phantom.write import write_exam, write_exams

LOW = {"rows": 832, "columns": 640, "spacing_mm": 0.28}


def dataset(**wish):
    default = {
        "energy": "recombined",
        "laterality": "L",
        "view": "MLO",
        "patient_id": "PHANTOM-1",
        "patient_name": "Phantom^CEM",
        "study_uid": derive_uid("study"),
        "series_uid": derive_uid("series"),
        "sop_uid": derive_uid("image"),
        "accession_number": "PH1",
        "spacing_mm": 0.28,
        "acquired": datetime(2026, 1, 5, 9, 30, tzinfo=UTC),
        "source_uids": [derive_uid("source")],
        "frame_of_reference_uid": derive_uid("compression"),
    }
    pixels = wish.pop("pixels", np.arange(600 * 520, dtype=np.uint16).reshape(600, 520) % 4096)
    return cem_dataset(pixels, CemImage(**{**default, **wish}))


@pytest.fixture(scope="module", params=DIALECTS)
def written(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    exam = phantom_exam(4, **LOW, lesions={"R": 1}, malignant=True)
    return exam, folder, write_exam(exam, folder, dialect=request.param, masks=True)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("energy", ENERGIES)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_dciodvfy_finds_no_error(dialect, energy, photometric, tmp_path):
    file = tmp_path / "image.dcm"
    ds = dataset(dialect=dialect, energy=energy, photometric=photometric)
    ds.save_as(file, enforce_file_format=True)

    assert dciodvfy_errors(file) == []


@pytest.mark.parametrize(
    "wish",
    [
        {"exposure_known": False, "lossy_ratio": 8.5, "derivation": "moved +3 rows"},
        {"patient_name": "Βαμβακά^Ελένη", "magnification": 1.03},
        {"patient_name": "Müller^Änne", "character_set": "ISO_IR 100"},
        {"bits_stored": 16, "pixels": np.full((600, 520), 65535, np.uint16)},
        {"laterality": "R", "view": "CC", "orientation": ["A", "R"]},
    ],
)
def test_dciodvfy_finds_no_error_in_unusual_images(wish, tmp_path):
    file = tmp_path / "image.dcm"
    dataset(**wish).save_as(file, enforce_file_format=True)

    assert dciodvfy_errors(file) == []
    back = pydicom.dcmread(file)
    assert str(back.PatientName) == wish.get("patient_name", "Phantom^CEM")


def test_pixels_come_back_and_monochrome1_shows_the_same(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 4096, (600, 520)).astype(np.uint16)
    plain, inverse = tmp_path / "plain.dcm", tmp_path / "inverse.dcm"
    dataset(pixels=pixels).save_as(plain, enforce_file_format=True)
    ds = dataset(pixels=pixels, photometric="MONOCHROME1")
    ds.save_as(inverse, enforce_file_format=True)

    assert np.array_equal(pydicom.dcmread(plain).pixel_array, pixels)
    assert np.array_equal(4095 - pydicom.dcmread(inverse).pixel_array, pixels)
    assert pydicom.dcmread(inverse).PresentationLUTShape == "INVERSE"


@pytest.mark.parametrize(
    ("laterality", "view", "orientation"),
    [("L", "CC", "A\\R"), ("R", "CC", "P\\L"), ("L", "MLO", "A\\FR"), ("R", "MLO", "P\\FL")],
)
def test_patient_orientation_says_where_the_chest_wall_is(laterality, view, orientation):
    ds = dataset(laterality=laterality, view=view)

    assert "\\".join(ds.PatientOrientation) == orientation


def test_the_ge_dialect_says_it_the_ge_way():
    ds = dataset(dialect="ge")

    assert list(ds.ImageType) == ["DERIVED", "PRIMARY", "", "RECOMBINED"]
    assert ds.AcquisitionDeviceProcessingCode == "GEMS_CESM_1"
    assert ds.private_block(0x0045, "GEMS_SENO_02")[0x1B].value == "LMLO"
    assert ds.ViewCodeSequence[0].CodeValue == "R-10226"
    assert "FrameOfReferenceUID" not in ds
    assert "SourceImageSequence" not in ds


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"energy": "middle"}, "energy 'middle'"),
        ({"view": "XX"}, "view 'XX'"),
        ({"laterality": "B"}, "laterality 'B'"),
        ({"dialect": "siemens"}, "dialect 'siemens'"),
        ({"pixels": np.full((600, 520), 4096, np.uint16)}, "more than 12 bits"),
        ({"pixels": np.zeros((600, 520), np.uint8)}, "uint8"),
    ],
)
def test_what_cannot_be_written_is_refused(wish, message):
    with pytest.raises(ValueError, match=message):
        dataset(**wish)


def test_a_written_exam_has_eight_valid_images_that_pair_up(written):
    _, folder, files = written

    assert sorted(path.name for path in folder.glob("*.dcm")) == sorted(f.name for f in files)
    assert [error for file in files for error in dciodvfy_errors(file)] == []
    headers = [header_from(pydicom.dcmread(file, stop_before_pixels=True)) for file in files]
    kinds = [header.kind for header in headers]
    assert kinds == [ImageKind.LOW_ENERGY, ImageKind.RECOMBINED] * 4
    paired = pair(headers)
    assert [view.name for view in paired.views] == ["R CC", "L CC", "R MLO", "L MLO"]
    assert not any(view.weak for view in paired.views)


def test_a_written_exam_is_visibly_synthetic(written):
    for file in written[2]:
        ds = pydicom.dcmread(file, stop_before_pixels=True)
        assert (str(ds.PatientName), ds.PatientID) == ("Phantom^CEM", "PHANTOM-4")
        assert "synthetic" in ds.ImageComments


def test_the_written_truth_matches_the_pixels(written):
    exam, folder, _ = written
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))

    assert [view["name"] for view in truth["views"]] == ["R CC", "L CC", "R MLO", "L MLO"]
    (lesion,) = truth["views"][0]["lesions"]
    mask = np.load(folder / "R_CC_masks.npz")["lesions"][0]
    assert np.array_equal(mask, exam.views[0].mask)
    left, top, right, bottom = lesion["box"]
    assert mask[top:bottom, left:right].sum() == mask.sum()
    assert lesion["area_mm2"] == pytest.approx(mask.sum() * 0.28**2, abs=0.01)
    assert truth["views"][1]["malignant"] is None


def test_another_run_is_another_study_of_the_same_patient(tmp_path):
    exam = phantom_exam(2, rows=512, columns=512, spacing_mm=0.4, views=(("L", "CC"),))

    def header(folder, run):
        return pydicom.dcmread(write_exam(exam, tmp_path / folder, run=run)[0])

    first, again, other = header("a", ""), header("b", ""), header("c", "second")
    assert first.SOPInstanceUID == again.SOPInstanceUID != other.SOPInstanceUID
    assert first.StudyInstanceUID != other.StudyInstanceUID
    assert first.PatientID == other.PatientID


@pytest.mark.parametrize("workers", [1, 2])
def test_exams_are_written_into_folders_of_their_own_by_any_number_of_processes(tmp_path, workers):
    seen = []

    folders = write_exams(
        tmp_path,
        exams=2,
        seed=30,
        rows=512,
        columns=512,
        spacing_mm=0.4,
        workers=workers,
        progress=lambda done, total: seen.append((done, total)),
    )

    assert [folder.name for folder in folders] == ["exam-0001", "exam-0002"]
    assert seen == [(done, 8) for done in range(1, 9)]
    for number, folder in enumerate(folders):
        truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
        assert truth["seed"] == 30 + number
        assert len(list(folder.glob("*.dcm"))) == 8
        studies = {
            pydicom.dcmread(f, stop_before_pixels=True).StudyInstanceUID
            for f in folder.glob("*.dcm")
        }
        assert len(studies) == 1
