"""The note that takes results back: readable by everybody, about exactly what was sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from highdicom.ko import KeyObjectSelectionDocument
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.domain.dicom_file import file_bytes
from dicom_node.domain.header import header_from
from dicom_node.domain.rejection import Reason, Rejection, rejection_note
from tests.analysis_builders import WAYS, encoded
from tests.conformance.validators import dciodvfy_errors, dsrdump_complaints, find_tool

LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
REJECTION = Rejection(
    job_id="job-1",
    destination="pacs",
    reason=Reason.QUALITY,
    words="revision 2 takes their place",
    at=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    version="FAPS Node 0.1.0",
)
TITLES = {Reason.QUALITY: "113001", Reason.SAFETY: "113037", Reason.WORKLIST: "113038"}


def results(way: str) -> list[Dataset]:
    """Headers of an analysis' result objects, as they are in the archive."""
    return [
        dcmread(BytesIO(one.content), stop_before_pixels=True)
        for one in encoded(WAYS[way])
        if one.sop_class_uid
    ]


@pytest.mark.parametrize(
    "way", ["positive both breasts", "failed", "a sparse header", "UTF-8 name"]
)
def test_validators_find_nothing_in_a_note(way: str, tmp_path: Path) -> None:
    file = tmp_path / "note.dcm"
    file.write_bytes(file_bytes(rejection_note(results(way), REJECTION)))
    assert dciodvfy_errors(file) == []
    if find_tool("dsrdump") is not None:
        assert dsrdump_complaints(file) == []


@pytest.mark.parametrize("reason", Reason)
def test_a_note_names_each_object_once_under_its_series(reason: Reason) -> None:
    objects = results("positive both breasts")
    ds = rejection_note(objects, replace(REJECTION, reason=reason))
    assert ds.ConceptNameCodeSequence[0].CodeValue == TITLES[reason]
    (study,) = ds.CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == ds.StudyInstanceUID == objects[0].StudyInstanceUID
    evidence = {
        (series.SeriesInstanceUID, one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert evidence == {(o.SeriesInstanceUID, o.SOPClassUID, o.SOPInstanceUID) for o in objects}
    text, *selected = ds.ContentSequence
    assert text.TextValue == (
        "AI results withdrawn: revision 2 takes their place. Research use, not for diagnosis."
    )
    # DCMTK refuses a note with an image of a class that it does not know.
    images = {o.SOPInstanceUID for o in objects if "Rows" in o and o.SOPClassUID != LABEL_MAP}
    kinds = {
        u: "IMAGE" if u in images else "COMPOSITE" for u in (o.SOPInstanceUID for o in objects)
    }
    assert {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID: item.ValueType for item in selected
    } == kinds
    assert set(kinds.values()) == {"IMAGE", "COMPOSITE"}


def test_a_note_is_filed_with_the_patient_and_known_as_ours() -> None:
    source = results("UTF-8 name")[0]
    ds = dcmread(BytesIO(file_bytes(rejection_note([source], REJECTION))))
    for keyword in ("PatientName", "PatientID", "AccessionNumber", "StudyID", "StudyDescription"):
        assert ds[keyword].value == source[keyword].value
    assert ds.SeriesInstanceUID != source.SeriesInstanceUID
    assert (ds.Modality, ds.SeriesNumber) == ("KO", 9004)
    assert ds.SeriesDescription == "AI results withdrawn: revision 2 takes their place"
    # 12:30 UTC in the zone of the source.
    assert (ds.ContentTime, ds.TimezoneOffsetFromUTC) == ("153000.000000", "+0300")
    assert header_from(ds).own_result


def test_highdicom_reads_a_note(tmp_path: Path) -> None:
    objects = results("negative")
    (tmp_path / "note.dcm").write_bytes(file_bytes(rejection_note(objects, REJECTION)))
    document = KeyObjectSelectionDocument.from_dataset(dcmread(tmp_path / "note.dcm"))
    for one in objects:
        assert document.resolve_reference(one.SOPInstanceUID) == (
            one.StudyInstanceUID,
            one.SeriesInstanceUID,
            one.SOPInstanceUID,
        )


def test_the_same_rejection_is_the_same_bytes_and_another_another_object() -> None:
    objects = results("negative")
    first = rejection_note(objects, REJECTION)
    assert file_bytes(rejection_note(objects, REJECTION)) == file_bytes(first)
    others = [
        replace(REJECTION, job_id="job-2"),
        replace(REJECTION, destination="vault"),
        replace(REJECTION, reason=Reason.SAFETY),
    ]
    uids = {rejection_note(objects, one).SOPInstanceUID for one in (REJECTION, *others)}
    assert len(uids) == 4


def test_what_a_person_wrote_is_ascii_and_of_bounded_length() -> None:
    words = replace(REJECTION, words="Ger\u00e4t falsch\n" + "x" * 2000)
    ds = rejection_note(results("failed"), words)
    assert ds.ContentSequence[0].TextValue.startswith("AI results withdrawn: Gerat falsch xxx")
    assert len(ds.ContentSequence[0].TextValue) < 1024
    assert len(ds.SeriesDescription) == 64


def test_a_note_about_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no object to take back"):
        rejection_note([], REJECTION)
