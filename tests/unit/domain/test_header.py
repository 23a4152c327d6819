"""A header read into a value, or refused, whatever it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import config, dcmread, dcmwrite
from pydicom import uid as uids
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO

from dicom_node.domain.header import MANUFACTURER, MODEL_NAME, InputRule, acquired_at, header_from
from dicom_node.domain.identifiers import is_uid
from dicom_node.domain.instance import ImageKind, InstanceHeader
from dicom_node.errors import CannotUnderstand
from tests.headers import code, dataset_of, image_ds, uid

IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


@pytest.fixture(scope="module", autouse=True)
def _read_as_the_node_does() -> Iterator[None]:
    """Values outside the standard are read without a word, as the listener has it."""
    before = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.IGNORE
    yield
    config.settings.reading_validation_mode = before


def test_a_low_energy_image_is_read_whole() -> None:
    ds = image_ds(
        AcquisitionDate="20260102",
        AcquisitionTime="101500.25",
        FrameOfReferenceUID="1.2.3",
        IrradiationEventUID=["1.2.4", "1.2.5"],
        AcquisitionNumber=7,
        DeviceSerialNumber="X9",
        PatientOrientation=["P", "L"],
        FieldOfViewRotation="0",
        FieldOfViewHorizontalFlip="NO",
        SourceImageSequence=[dataset_of(ReferencedSOPInstanceUID="1.2.9")],
    )
    header = header_from(ds, transfer_syntax_uid=uids.ExplicitVRLittleEndian)
    assert header.exclusion is None
    assert (header.kind, header.laterality, header.view) == (ImageKind.LOW_ENERGY, "R", "CC")
    assert (header.rows, header.columns, header.frames, header.bits_stored) == (3328, 2560, 1, 12)
    assert header.spacing_mm == (0.07, 0.07)
    assert header.frame_of_reference_uid == "1.2.3"
    assert header.irradiation_event_uids == ("1.2.4", "1.2.5")
    assert header.acquisition_number == "7"
    assert header.device == "X9"
    assert header.patient_orientation == ("P", "L")
    assert header.field_of_view == ("0", "NO")
    assert header.source_sop_instance_uids == ("1.2.9",)
    assert header.transfer_syntax_uid == uids.ExplicitVRLittleEndian
    assert not header.own_result


@pytest.mark.parametrize("name", IDENTITY)
def test_an_object_without_an_identity_is_refused(name: str) -> None:
    ds = image_ds()
    del ds[name]
    with pytest.raises(CannotUnderstand, match=name):
        header_from(ds)


@pytest.mark.parametrize("name", IDENTITY)
@pytest.mark.parametrize(
    "text",
    [
        "../../etc/passwd", "/etc/passwd", "1.2\\1.3", "1.2.\x003", "1." * 40 + "1", "1.02",
        "1", "1..2", ".1.2", "1.2.", "1.2 3", "1.2\n.3", "-1.2", "1.٢", "1.²", "", "NULL",
    ],
)  # fmt: skip
def test_a_hostile_uid_is_refused_and_quoted_briefly(name: str, text: str) -> None:
    ds = image_ds()
    ds[name]._value = text
    with pytest.raises(CannotUnderstand, match="no UID") as refused:
        header_from(ds)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("values", "exclusion"),
    [
        ({"ImageType": r"ORIGINAL\PRIMARY\\HIGH_ENERGY"}, "high_energy"),
        ({"ImageType": r"ORIGINAL\PRIMARY\STEREO_SCOUT"}, "biopsy"),
        ({"ImageType": r"DERIVED\PRIMARY\\GENERATED_2D"}, "synthetic"),
        ({"ImageType": r"DERIVED\PRIMARY\\ADDITION"}, "unsupported"),
        ({"SOPClassUID": uids.BreastTomosynthesisImageStorage}, "tomosynthesis"),
        ({"SOPClassUID": uids.SecondaryCaptureImageStorage}, "not_mammography"),
        ({"SOPClassUID": uids.DigitalMammographyXRayImageStorageForProcessing}, "for_processing"),
        ({"NumberOfFrames": 2}, "multi_frame"),
        ({"NumberOfFrames": 1}, None),
        ({"SamplesPerPixel": 3}, "colour"),
        ({"Rows": 511}, "too_small"),
        ({"Columns": None}, "too_small"),
        ({"Rows": 512, "Columns": 512}, None),
        ({"Laterality": "L"}, "laterality_conflict"),
        ({"ImageLaterality": None}, "laterality"),
        ({"ImageLaterality": "B"}, "laterality"),
        ({"ViewCodeSequence": None}, "view_unknown"),
        ({"ViewCodeSequence": [code("399260004")]}, "view"),
        (
            {"ViewCodeSequence": [code("399162004", ViewModifierCodeSequence=[code("399163009")])]},
            "view_modifier",
        ),
        ({"BreastImplantPresent": "YES"}, "implant"),
        ({"BreastImplantPresent": "NO"}, None),
    ],
)
def test_what_may_not_be_analysed_is_kept_with_its_reason(
    values: dict[str, Any], exclusion: str | None
) -> None:
    if "ImageType" in values:
        values = {"ImageType": values["ImageType"].split("\\")}
    header = header_from(image_ds(**values))
    assert header.exclusion == exclusion
    assert bool(header.exclusion_text) == (exclusion is not None)


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ({"AcquisitionDateTime": "20260102101500"}, 0),
        ({"AcquisitionDateTime": "20260102101501.5+0100"}, 1),
        ({"AcquisitionDate": "20260102", "AcquisitionTime": "101503.000"}, 3),
        ({"AcquisitionDate": "20260102", "AcquisitionTime": "1015"}, None),
        ({"AcquisitionTime": "101500"}, None),
        ({"AcquisitionDateTime": "20261302101500"}, None),
        ({"AcquisitionDateTime": "yesterday at ten"}, None),
        ({}, None),
    ],
)
def test_acquisition_times_are_compared_in_seconds(
    values: dict[str, str], seconds: float | None
) -> None:
    start = acquired_at(dataset_of(AcquisitionDateTime="20260102101500"))
    found = acquired_at(dataset_of(**values))
    assert start is not None
    assert (None if found is None else found - start) == seconds


def test_our_own_results_are_known_again() -> None:
    ours = {"Manufacturer": MANUFACTURER, "ManufacturerModelName": MODEL_NAME}
    assert header_from(image_ds(**ours)).own_result
    for keyword in ours:
        assert not header_from(image_ds(**ours | {keyword: "Someone else"})).own_result


def test_nothing_that_names_a_person_is_kept() -> None:
    ds = image_ds(
        PatientName="Canary^Jane",
        PatientBirthDate="19700101",
        ReferringPhysicianName="Canary^Doc",
        OperatorsName="Canary^Op",
        InstitutionName="Canary Clinic",
        StudyDescription="Canary",
    )
    stored = json.dumps(header_from(ds).to_json())
    assert "Canary" not in stored
    assert "19700101" not in stored


def test_a_header_survives_the_ledger() -> None:
    header = header_from(image_ds(PatientOrientation=["P", "L"], IrradiationEventUID="1.2.4"))
    stored = json.loads(json.dumps(header.to_json()))
    assert InstanceHeader.from_json(stored) == header
    assert InstanceHeader.from_json({**stored, "of_a_newer_version": 1}) == header
    del stored["device"], stored["own_result"]
    assert InstanceHeader.from_json(stored) == header


@pytest.mark.parametrize(("lossy", "exclusion"), [("01", "lossy"), ("00", None), (None, None)])
def test_images_compressed_with_loss_are_analysed_where_the_site_wants_it(
    lossy: str | None, exclusion: str | None
) -> None:
    ds = image_ds(LossyImageCompression=lossy)
    assert header_from(ds, rule=InputRule(analyse_lossy=False)).exclusion == exclusion
    assert header_from(ds, rule=InputRule(analyse_lossy=True)).exclusion is None


def test_a_sites_expression_reaches_the_kind() -> None:
    ds = image_ds(r"DERIVED\PRIMARY", SeriesDescription="R CC subtr")
    header = header_from(ds, rule=InputRule(recombined_description=re.compile("subtr")))
    assert (header.kind, header.kind_weak) == (ImageKind.RECOMBINED, True)


@pytest.mark.parametrize(
    ("element", "value"),
    [
        ("Rows", "many"), ("Columns", [2560, 2560]), ("NumberOfFrames", "one"),
        ("SamplesPerPixel", [1, 1]), ("KVP", "strong"), ("KVP", [28, 49]), ("BitsStored", b"12"),
        ("ImagerPixelSpacing", "wide"), ("PatientOrientation", 3),
        ("AcquisitionDateTime", 20260102.0), ("FilterMaterial", 29),
    ],
)  # fmt: skip
def test_an_odd_value_of_an_optional_element_refuses_nothing(element: str, value: Any) -> None:
    ds = image_ds()
    if element not in ds:
        setattr(ds, element, None)
    ds[element]._value = value
    assert header_from(ds).sop_instance_uid == uid("data set", "instance")


KEYWORDS = (
    *IDENTITY, "ImageType", "KVP", "FilterMaterial", "Rows", "Columns", "NumberOfFrames",
    "ImagerPixelSpacing", "PixelSpacing", "PatientOrientation", "ViewCodeSequence",
    "AnatomicRegionSequence", "SourceImageSequence", "DerivationCodeSequence", "Modality",
    "AcquisitionDateTime", "IrradiationEventUID", "PartialView", "PartialViewCodeSequence",
)  # fmt: skip
ODD = st.one_of(
    st.none(), st.text(max_size=8), st.binary(max_size=8), st.integers(), st.floats(),
    st.lists(st.one_of(st.text(max_size=4), st.floats(), st.none()), max_size=3),
    st.just(Dataset()), st.just([dataset_of(CodeValue="1")]), st.just([[Dataset()]]),
)  # fmt: skip


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.dictionaries(st.sampled_from(KEYWORDS), ODD, max_size=4))
def test_a_header_with_odd_values_is_read_or_refused_and_nothing_else(
    values: dict[str, object],
) -> None:
    ds = image_ds()
    for name, value in values.items():
        if name not in ds:
            setattr(ds, name, None)
        ds[name]._value = value
    try:
        header = header_from(ds)
    except CannotUnderstand:
        return
    assert is_uid(header.sop_instance_uid)
    json.dumps(header.to_json())


def _file() -> bytes:
    ds = image_ds(KVP=49, AcquisitionDateTime="20260102101500", NumberOfFrames=1)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = uids.ImplicitVRLittleEndian
    written = DicomBytesIO()
    dcmwrite(written, ds, enforce_file_format=True)
    return written.getvalue()


FILE = _file()


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(132, len(FILE) - 1), st.integers(0, 255)), max_size=4),
    st.integers(132, len(FILE)),
)
def test_a_file_with_flipped_bytes_gives_a_header_that_is_read_or_refused(
    flips: list[tuple[int, int]], length: int
) -> None:
    damaged = bytearray(FILE)
    for position, value in flips:
        damaged[position] = value
    try:
        ds = dcmread(BytesIO(bytes(damaged[:length])), force=True)
    except Exception:  # noqa: BLE001 - reading is pydicom's part; here it is the header's turn
        return
    try:
        header = header_from(ds)
    except CannotUnderstand:
        return
    assert all(is_uid(one) for one in (header.sop_class_uid, header.study_instance_uid))
