"""Whose study it is: what differs, what follows from it, and objects with other patient data."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from dicom_node.domain.recheck import Verdict, differences, header_of, judge, restamp

ADA = {"PatientID": "1", "PatientName": "Lovelace^Ada", "AccessionNumber": "A1"}
CORRECTED = {**ADA, "PatientID": "2", "AccessionNumber": "A2", "PatientBirthDate": "18151210"}


@pytest.mark.parametrize(
    "name",
    ["Lovelace^Ada", "LOVELACE^ADA", "Lovelace^Ada^^^", " Lovelace^Ada=", "Lovelace^Ada=洛^艾", ""],
)
def test_a_name_is_the_same_however_a_peer_writes_it(name: str) -> None:
    assert differences(ADA, {**ADA, "PatientName": name}) == ()


@pytest.mark.parametrize("name", ["Lovelace^Ada^King", "Byron^Ada", "Lovelace"])
def test_another_name_is_another(name: str) -> None:
    assert differences(ADA, {**ADA, "PatientName": name}) == ("PatientName",)


def test_ideographs_tell_two_names_apart_that_sound_the_same() -> None:
    ours, theirs = "Yamada^Taro=山田^太郎", "Yamada^Taro=山田^太朗"
    assert differences({"PatientName": ours}, {"PatientName": theirs}) == ("PatientName",)


def test_what_we_lack_differs_and_what_the_destination_lacks_does_not() -> None:
    assert differences({"PatientID": "1"}, ADA) == ("PatientName", "AccessionNumber")
    assert differences(ADA, {"PatientID": "1"}) == ()


def test_a_study_that_is_not_there_yet_is_waited_for() -> None:
    for mode in ("hold", "restamp"):
        assert judge(mode, [ADA], [], []).verdict is Verdict.WAIT


def test_the_same_patient_is_sent_to() -> None:
    for mode in ("hold", "restamp"):
        assert judge(mode, [ADA, ADA], [ADA], [ADA]).verdict is Verdict.SEND


def test_another_patient_holds_and_the_reason_names_no_value() -> None:
    found = judge("hold", [ADA], [CORRECTED], [])
    assert found.verdict is Verdict.HOLD
    assert found.reason == "has the study with another Patient ID and accession number"


def test_objects_are_restamped_with_everything_that_the_destination_says() -> None:
    found = judge("restamp", [ADA, CORRECTED], [CORRECTED], [])
    assert found.verdict is Verdict.RESTAMP
    assert found.values == CORRECTED
    assert "A2" not in found.reason


def test_a_set_of_which_a_part_is_there_is_never_torn_apart() -> None:
    assert judge("restamp", [ADA], [CORRECTED], [ADA]).verdict is Verdict.HOLD
    # What is there has the new values already: the rest may follow.
    assert judge("restamp", [ADA], [CORRECTED], [CORRECTED]).verdict is Verdict.RESTAMP


def test_a_destination_of_two_minds_holds() -> None:
    for mode in ("hold", "restamp"):
        assert judge(mode, [ADA], [ADA, CORRECTED], []).verdict is Verdict.HOLD
        assert judge(mode, [ADA], [ADA, ADA], []).verdict is Verdict.SEND


def an_object(**values: Any) -> bytes:
    """A small object whose text is in Latin-1."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID, ds.SOPInstanceUID = SegmentationStorage, "1.2.3"
    ds.ReferringPhysicianName = "Müller^Jörg"
    ds.ContentSequence = [Dataset()]
    ds.ContentSequence[0].TextValue = "Läsion"
    ds.PixelData = bytes(range(256))
    ds["PixelData"].VR = "OB"
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["Byron^Ada", "Łukasz^Żak", "Yamada^Taro=山田^太郎"])
def test_a_restamped_object_differs_in_the_patient_alone(name: str) -> None:
    before = an_object(**ADA)
    values = {**CORRECTED, "PatientName": name}
    after = restamp(before, values)
    old, new = dcmread(BytesIO(before)), dcmread(BytesIO(after))
    assert {k: v for k, v in header_of(new).items() if v} == values
    assert differences(header_of(new), values) == ()
    assert new.file_meta == old.file_meta
    assert new.ReferringPhysicianName == "Müller^Jörg"
    assert new.ContentSequence[0].TextValue == "Läsion"
    changed = {element.keyword for element in new if element != old.get(element.tag)}
    assert changed - {"SpecificCharacterSet"} == {
        "PatientID", "PatientName", "AccessionNumber", "PatientBirthDate",
    }  # fmt: skip


def test_the_same_values_give_the_same_bytes() -> None:
    once = restamp(an_object(**ADA), CORRECTED)
    assert once == restamp(an_object(**ADA), CORRECTED) == restamp(once, CORRECTED)
