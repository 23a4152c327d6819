"""Result objects are the same bytes each time, under the patient that the images name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_node.domain.identifiers import is_uid
from tests.analysis_builders import (
    CARD,
    CREATED_AT,
    CYRILLIC,
    JAPANESE,
    WAYS,
    analysis,
    encoded,
    header,
    negative_breast,
    right_breast,
    ways_it_can_end,
)
from worker.contracts import Analysis, Role, Status
from worker.report.encode import encode

AGAIN = ways_it_can_end()
COPIED = {
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyDate",
    "StudyTime", "StudyID", "AccessionNumber", "StudyDescription", "ReferringPhysicianName",
    "StudyInstanceUID", "SpecificCharacterSet",
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_the_same_analysis_gives_the_same_bytes(way: str):
    again = AGAIN[way]
    again = replace(again, run=replace(again.run, label_maps=True))
    assert encode(again) == encoded(WAYS[way])


@pytest.mark.parametrize(
    "change",
    [
        lambda a: replace(a, card=replace(CARD, sha256="f" * 64)),
        lambda a: replace(a, run=replace(a.run, revision=2)),
        lambda a: replace(a, run=replace(a.run, input_hash="other")),
        lambda a: replace(a, run=replace(a.run, profile="other")),
    ],
    ids=["another model", "another revision", "another input", "another profile"],
)
def test_another_run_gives_other_objects(change: Any):
    made = WAYS["positive both breasts"]
    assert _uids(made).isdisjoint(_uids(change(made)))


def test_the_clock_changes_no_identity():
    made = WAYS["positive one breast"]
    later = replace(made, run=replace(made.run, created_at=CREATED_AT.replace(hour=9)))
    assert _uids(made) == _uids(later)


@pytest.mark.parametrize("way", WAYS)
def test_each_object_has_a_role_and_key_of_its_own_and_says_its_uids(way: str):
    results = encoded(WAYS[way])
    assert len({(r.role, r.key) for r in results}) == len(results)
    assert results[-1].role is Role.ANALYSIS
    assert [r.role for r in results].count(Role.SR) == 1
    for result in results:
        if result.media_type == "application/dicom":
            ds = _read(result.content)
            assert result.sop_instance_uid == ds.SOPInstanceUID
            assert result.sop_class_uid == ds.SOPClassUID == ds.file_meta.MediaStorageSOPClassUID
            assert is_uid(ds.file_meta.ImplementationClassUID)
            assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


@pytest.mark.parametrize("way", ["positive one breast", "Japanese name", "UTF-8 name"])
def test_patient_and_study_are_the_sources(way: str):
    source = WAYS[way].headers[0]
    for ds in _objects(WAYS[way]):
        for keyword in COPIED & set(source.dir()):
            assert ds[keyword].value == source[keyword].value, keyword


@pytest.mark.parametrize("attributes", [JAPANESE, CYRILLIC], ids=["ISO 2022", "UTF-8"])
def test_names_keep_their_bytes(attributes: dict[str, Any]):
    made = analysis(right_breast(**attributes))
    stream = BytesIO()
    header(**attributes).save_as(stream, implicit_vr=False, little_endian=True)
    name = _raw(stream.getvalue(), "PatientName")
    assert max(name) >= 0x80 or b"\x1b" in name
    for result in encoded(made):
        if result.media_type == "application/dicom":
            assert _raw(result.content, "PatientName") == name


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_copied_is_ascii(way: str):
    for ds in _objects(WAYS[way]):
        for keyword, value in _strings(ds):
            assert keyword in COPIED or value.isascii(), (keyword, value)


def test_words_of_the_analysis_become_ascii():
    made = analysis(
        status=Status.FAILED,
        reason="Bild \u201eR\u00a0CC\u201c: 5\u00d77 \u2265 \u30de\\",
        card=replace(CARD, name="FAPS\u2013x", statement="Trainiert f\u00fcr \u2026"),
    )
    for ds in _objects(made):
        assert all(value.isascii() and "\\" not in value for _, value in _strings(ds))


def test_odd_values_of_the_source_are_carried_on_as_they_are():
    odd = {"PatientSex": "W", "PatientName": "Single", "StudyDate": "20260304"}
    for ds in _objects(analysis(right_breast(**odd))):
        assert (ds.PatientSex, ds.PatientName, ds.StudyDate) == tuple(odd.values())


def test_a_source_without_required_attributes_gets_blanks():
    for ds in _objects(WAYS["a sparse header"]):
        for keyword in ("AccessionNumber", "StudyID", "StudyTime", "PatientSex"):
            assert ds[keyword].is_empty


def test_no_object_has_a_private_attribute_though_the_source_has():
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99X", "one"
    item.private_block(0x0099, "VENDOR", create=True).add_new(1, "LO", "secret")
    own = {"ProcedureCodeSequence": Sequence([item])}
    made = analysis(right_breast(**own))
    for ds in made.headers:
        ds.private_block(0x0045, "VENDOR", create=True).add_new(1, "LO", "secret")
    for ds in _objects(made):
        assert not any(element.tag.is_private for element in ds.iterall())
        assert len(ds.ProcedureCodeSequence) == 1
    assert any(element.tag.is_private for element in made.headers[0].iterall())


def test_the_source_headers_are_left_as_they_were():
    made = analysis(right_breast(), negative_breast("L"))
    before = [ds.to_json() for ds in made.headers]
    encode(made)
    assert [ds.to_json() for ds in made.headers] == before


def test_times_are_the_runs_in_its_own_zone_unless_the_study_names_one():
    for ds in _objects(WAYS["positive one breast"]):
        assert ds.ContentDate == ds.SeriesDate == ds.InstanceCreationDate == "20260304"
        assert ds.ContentTime == ds.SeriesTime == ds.InstanceCreationTime == "050607.089000"
        assert ds.TimezoneOffsetFromUTC == "+0100"
    for ds in _objects(WAYS["UTF-8 name"]):
        assert (ds.ContentTime, ds.TimezoneOffsetFromUTC) == ("070607.089000", "+0300")


def test_every_object_names_the_algorithm_that_made_it():
    devices = set()
    for ds in _objects(WAYS["positive one breast"]):
        assert ds.Manufacturer == "FAPS Node"
        acquisition, algorithm = ds.ContributingEquipmentSequence
        assert acquisition.PurposeOfReferenceCodeSequence[0].CodeValue == "109101"
        assert acquisition.ManufacturerModelName == "SYN-CEM"
        assert algorithm.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert (algorithm.ManufacturerModelName, algorithm.DeviceUID) == ("FAPS", ds.DeviceUID)
        assert algorithm.ContributionDescription.startswith("Research use, not for diagnosis")
        devices.add(ds.DeviceUID)
    retrained = replace(WAYS["positive one breast"], card=replace(CARD, sha256="0" * 64))
    devices |= {ds.DeviceUID for ds in _objects(retrained)}
    assert len(devices) == 2


@pytest.mark.parametrize("way", WAYS)
def test_series_are_numbered_apart_and_described_as_not_reviewed(way: str):
    objects = list(_objects(WAYS[way]))
    numbers = [int(ds.SeriesNumber) for ds in objects]
    assert len(set(numbers)) == len(numbers)
    assert min(numbers) >= 9001
    for ds in objects:
        assert ds.SeriesDescription.startswith("AI ")
        assert ds.SeriesDescription.endswith("(not reviewed)")


def test_the_record_tells_the_page_what_the_report_says():
    made = WAYS["positive both breasts"]
    results = encoded(made)
    fields = json.loads(results[-1].content)
    assert fields["schema"] == "faps-analysis/1"
    assert fields["status"] == "complete"
    assert [(f["laterality"], f["decision"]) for f in fields["findings"]] == [
        ("R", "malignant"),
        ("L", "benign"),
    ]
    segs = {r.key: r.sop_instance_uid for r in results if r.role is Role.SEG}
    views = [view for f in fields["findings"] for view in f["views"]]
    assert {view["key"]: view["seg_sop_instance_uid"] for view in views} == segs
    named = [(r["role"], r["key"], r["sop_instance_uid"]) for r in fields["results"]]
    assert named == [(r.role.value, r.key, r.sop_instance_uid) for r in results[:-1]]
    (lesion,) = views[0]["lesions"]
    assert lesion["area_px"] == made.findings[0].views[0].lesions[0].area_px
    tracked = _read(results[0].content).SegmentSequence[0].TrackingUID
    assert lesion["tracking_uid"] == tracked
    assert fields["seconds"] == {"decode": 0.5, "segment": 1.25}


@pytest.mark.parametrize("way", WAYS)
def test_the_record_names_no_patient(way: str):
    content = encoded(WAYS[way])[-1].content.decode()
    source = WAYS[way].headers[0]
    for keyword in ("PatientName", "PatientID", "AccessionNumber"):
        value = str(source.get(keyword) or "")
        assert not value or value not in content


def _objects(made: Analysis) -> Iterator[Dataset]:
    for result in encoded(made):
        if result.media_type == "application/dicom":
            yield _read(result.content)


def _read(content: bytes) -> Dataset:
    return dcmread(BytesIO(content))


def _raw(content: bytes, keyword: str) -> bytes:
    """Bytes of a value as they stand in the file."""
    value = dcmread(BytesIO(content), force=True).get_item(keyword).value
    assert isinstance(value, bytes)
    return value


def _uids(made: Analysis) -> set[str]:
    objects = list(_objects(made))
    return {ds.SOPInstanceUID for ds in objects} | {ds.SeriesInstanceUID for ds in objects}


def _strings(ds: Dataset) -> Iterator[tuple[str, str]]:
    for element in ds.iterall():
        values = element.value if element.VM > 1 else [element.value]
        for value in values:
            if element.VR not in {"SQ", "OB", "OW"} and value is not None:
                yield element.keyword, str(value)
