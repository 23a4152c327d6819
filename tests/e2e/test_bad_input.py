"""Bad input gets the right answer, a visible state and a reason; nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from dicom_node.domain.identifiers import derive_uid
from dicom_node.store.overview import StudySheet
from tests.e2e.conftest import Hospital, MakeExam, study_of
from tests.peers import storescu, wait_until

pytestmark = [pytest.mark.orthanc, pytest.mark.dcmtk]
MG = DigitalMammographyXRayImageStorageForPresentation


@contextmanager
def caller(port: int) -> Iterator[Association]:
    ae = AE(ae_title="MODALITY")
    ae.add_requested_context(MG, ExplicitVRLittleEndian)
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    assoc = ae.associate("127.0.0.1", port, ae_title="FAPS")
    assert assoc.is_established
    try:
        yield assoc
    finally:
        assoc.release()


def store_bytes(port: int, content: bytes, sop_class: str, sop_instance: str) -> Dataset:
    """Send any bytes as the data set of a C-STORE, as a broken sender would."""
    with caller(port) as assoc:
        request = C_STORE()
        request.MessageID = 1
        request.AffectedSOPClassUID = sop_class
        request.AffectedSOPInstanceUID = sop_instance
        request.Priority = 2
        request.DataSet = BytesIO(content)
        context = next(c for c in assoc.accepted_contexts if c.abstract_syntax == sop_class)
        assoc._reactor_checkpoint.clear()
        assoc.dimse.send_msg(request, context.context_id)
        _, answer = assoc.dimse.get_msg(block=True)
        assoc._reactor_checkpoint.set()
        result = Dataset()
        result.Status = answer.Status
        result.ErrorComment = answer.ErrorComment or ""
        return result


def encoded(ds: Dataset) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, ds)
    return bytes(stream.getvalue())


@pytest.fixture
def image(make_exam: MakeExam) -> Dataset:
    exam = make_exam(seed=5, views=("R_CC",))
    return dcmread(next(exam.glob("*recombined.dcm")))


def test_bytes_that_are_no_data_set_are_refused_for_good(hospital: Hospital) -> None:
    answer = store_bytes(hospital.node.port, b"\x00\xff" * 5000, MG, "1.2.3.4.5")
    assert answer.Status >> 12 == 0xC
    assert answer.ErrorComment


def test_a_truncated_image_is_refused_and_leaves_nothing_behind(
    hospital: Hospital, image: Dataset
) -> None:
    content = encoded(image)[:-100_000]
    answer = store_bytes(hospital.node.port, content, MG, str(image.SOPInstanceUID))
    assert answer.Status >> 12 == 0xC
    assert "cut off" in answer.ErrorComment
    assert hospital.node.sheet(str(image.StudyInstanceUID)) is None
    wait_until(lambda: not list(hospital.node.archive.spool.iterdir()), "an empty spool")


def test_an_image_without_pixels_is_refused_with_the_reason(
    hospital: Hospital, image: Dataset
) -> None:
    del image.PixelData
    answer = store_bytes(hospital.node.port, encoded(image), MG, str(image.SOPInstanceUID))
    assert answer.Status >> 12 == 0xC
    assert "without Pixel Data" in answer.ErrorComment


def test_a_command_that_names_another_class_than_the_object_is_refused(
    hospital: Hospital, image: Dataset
) -> None:
    content = encoded(image)
    uid = str(image.SOPInstanceUID)
    assert store_bytes(hospital.node.port, content, CTImageStorage, uid).Status == 0xA900
    assert store_bytes(hospital.node.port, content, MG, "1.2.3").Status == 0xA900


def test_a_uid_that_is_a_path_is_refused(hospital: Hospital, image: Dataset) -> None:
    image.SOPInstanceUID = "1.2.3"
    content = encoded(image).replace(b"1.2.3\x00", b"../../")
    answer = store_bytes(hospital.node.port, content, MG, "1.2.3")
    assert answer.Status >> 12 in {0xC, 0xA}


def test_a_file_that_is_not_dicom_is_not_sent(hospital: Hospital, tmp_path: Path) -> None:
    (tmp_path / "report.dcm").write_text("no DICOM")
    text = hospital.node.cli  # the node's own commands stay usable beside it
    assert "valid" in text("check")


def last_reasons(sheet: StudySheet) -> str:
    return " ".join([sheet.line.reason, *(row["reason"] for row in sheet.instances)])


def test_a_lone_recombined_image_is_held_and_says_what_is_missing(
    hospital: Hospital, make_exam: MakeExam
) -> None:
    exam = make_exam(seed=5, views=("R_CC",))
    next(exam.glob("*low_energy.dcm")).unlink()
    storescu(hospital.node.port, list(exam.glob("*.dcm")))
    sheet = hospital.node.wait_for_state(study_of(exam), "held")
    assert "R CC: low-energy image" in sheet.line.reason
    assert not sheet.deliveries


def test_the_missing_image_that_comes_at_last_makes_the_result(
    hospital: Hospital, make_exam: MakeExam
) -> None:
    exam = make_exam(seed=5, views=("R_CC",))
    late = next(exam.glob("*low_energy.dcm"))
    storescu(hospital.node.port, [p for p in exam.glob("*.dcm") if p != late])
    hospital.node.wait_for_state(study_of(exam), "held")
    storescu(hospital.node.port, [late])
    sheet = hospital.node.wait_for_state(study_of(exam), "confirmed")
    assert [job["state"] for job in sheet.jobs] == ["held", "confirmed"]


def test_two_patients_in_one_study_are_held_for_a_person(
    hospital: Hospital, make_exam: MakeExam, tmp_path: Path
) -> None:
    exam = make_exam(seed=5, views=("R_CC",))
    first, second = sorted(exam.glob("*.dcm"))
    ds = dcmread(second)
    ds.PatientID = "SOMEBODY-ELSE"
    other = tmp_path / "other.dcm"
    ds.save_as(other)
    storescu(hospital.node.port, [first, other])
    sheet = hospital.node.wait_for_state(study_of(exam), "held")
    assert "another Patient ID" in sheet.line.reason
    assert not sheet.deliveries
    assert len(sheet.instances) == 2


def test_the_same_uid_with_other_pixels_is_held_and_both_are_kept(
    hospital: Hospital, make_exam: MakeExam, tmp_path: Path
) -> None:
    exam = make_exam(seed=5, views=("R_CC",))
    files = sorted(exam.glob("*.dcm"))
    ds = dcmread(files[0])
    ds.PixelData = bytes(reversed(ds.PixelData))
    other = tmp_path / "other.dcm"
    ds.save_as(other)
    storescu(hospital.node.port, [files[0], other, files[1]])
    sheet = hospital.node.wait_for_state(study_of(exam), "held")
    assert "came before with other content" in sheet.line.reason
    for row in sheet.instances:
        hospital.node.archive.read(row["sha256"])
    assert sorted(row["state"] for row in sheet.instances) == ["conflict", "kept", "kept"]


def test_an_exam_nobody_may_analyse_is_reported_so(
    hospital: Hospital, make_exam: MakeExam, tmp_path: Path
) -> None:
    exam = make_exam(seed=5, views=("R_CC",))
    changed = []
    for path in exam.glob("*.dcm"):
        ds = dcmread(path)
        ds.BreastImplantPresent = "YES"
        target = tmp_path / path.name
        ds.save_as(target)
        changed.append(target)
    storescu(hospital.node.port, changed)
    study = study_of(exam)
    sheet = hospital.node.wait_for_state(study, "unsuitable")
    assert "implant" in last_reasons(sheet)
    wait_until(
        lambda: all(d["state"] == "committed" for d in hospital.node.sheet(study).deliveries),  # type: ignore[union-attr]
        "the report in the PACS",
    )
    roles = [a["role"] for a in sheet.artefacts]
    assert "sr" in roles
    assert "seg" not in roles


def test_corrupt_compressed_pixels_end_in_a_failed_exam_with_a_report(
    hospital: Hospital, make_exam: MakeExam, tmp_path: Path
) -> None:
    from pydicom.uid import JPEGLSLossless

    from tests.compressed import recode

    exam = make_exam(seed=5, views=("R_CC",))
    files = []
    for path in exam.glob("*.dcm"):
        target = tmp_path / path.name
        recode(path, target, JPEGLSLossless)
        content = bytearray(target.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 2000] = bytes(2000)
        target.write_bytes(content)
        files.append(target)
    storescu(hospital.node.port, files, "-xt")
    sheet = hospital.node.wait_for_state(study_of(exam), "failed", "confirmed")
    assert sheet.line.state == "failed"
    assert sheet.jobs[0]["reason_code"] == "pixel_decode"
    assert "sr" in [a["role"] for a in sheet.artefacts]


def test_a_mammogram_without_contrast_is_ignored_with_the_reason(
    hospital: Hospital, make_exam: MakeExam, tmp_path: Path
) -> None:
    exam = make_exam(seed=5, views=("R_CC",))
    ds = dcmread(next(exam.glob("*low_energy.dcm")))
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    ds.StudyInstanceUID = derive_uid("plain mammogram", str(ds.StudyInstanceUID))
    path = tmp_path / "ffdm.dcm"
    ds.save_as(path)
    storescu(hospital.node.port, [path])
    sheet = hospital.node.wait_for_state(str(ds.StudyInstanceUID), "ignored")
    assert "no contrast-enhanced" in sheet.line.reason
