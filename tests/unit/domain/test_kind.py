"""What kind of image a header describes, in the dialects that vendors speak."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydicom.uid import (
    BreastProjectionXRayImageStorageForPresentation,
    BreastTomosynthesisImageStorage,
    DigitalMammographyXRayImageStorageForProcessing,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
)

from dicom_node.domain.instance import ImageKind
from dicom_node.domain.kind import kind_of
from tests.headers import code, dataset_of, image_ds

LOW, HIGH = ImageKind.LOW_ENERGY, ImageKind.HIGH_ENERGY
RECOMBINED, FFDM = ImageKind.RECOMBINED, ImageKind.FFDM
TWO_SOURCES = [dataset_of(ReferencedSOPInstanceUID=one) for one in ("1.2.1", "1.2.2")]


@pytest.mark.parametrize(
    ("image_type", "kind"),
    [
        # PS3.3 C.8.11.7.1.4
        (r"ORIGINAL\PRIMARY\POST_CONTRAST\\LOW_ENERGY", LOW),
        (r"ORIGINAL\PRIMARY\POST_CONTRAST\\HIGH_ENERGY", HIGH),
        ("DERIVED\\PRIMARY\\POST_CONTRAST\\SUBTRACTION\\", RECOMBINED),
        (r"DERIVED\PRIMARY\POST_CONTRAST\ADDITION", ImageKind.UNSUPPORTED),
        # GE: the energy in value 4, value 3 empty, once cut short
        (r"ORIGINAL\PRIMARY\\LOW_ENERGY", LOW),
        (r"DERIVED\SECONDARY\\LOW_ENER", LOW),
        (r"ORIGINAL\PRIMARY\\HIGH_ENERGY", HIGH),
        (r"DERIVED\PRIMARY\\RECOMBINED", RECOMBINED),
        # trailing empty values and a number, as some archives hold them
        (r"DERIVED\PRIMARY\POST_CONTRAST\SUBTRACTION\\\\\50000", RECOMBINED),
        (r"ORIGINAL\PRIMARY\POST_PROCESSED\\\\\\50000", FFDM),
        (r"ORIGINAL\PRIMARY\\\\\\\150000", FFDM),
        (r"original\primary\post_contrast\ \ low_energy ", LOW),
        (r"ORIGINAL\PRIMARY", FFDM),
        # a biopsy's word beats a contrast's, tomosynthesis' too
        (r"ORIGINAL\PRIMARY\STEREO_SCOUT\\LOW_ENERGY", ImageKind.BIOPSY),
        (r"ORIGINAL\PRIMARY\PREFIRE_PLUS", ImageKind.BIOPSY),
        (r"ORIGINAL\PRIMARY\POSTFIRE_MINUS", ImageKind.BIOPSY),
        (r"ORIGINAL\PRIMARY\POSTBIOPSY", ImageKind.BIOPSY),
        (r"ORIGINAL\PRIMARY\POSTMARKER\SUBTRACTION", ImageKind.BIOPSY),
        (r"ORIGINAL\PRIMARY\TOMO_PROJ\\LOW_ENERGY", ImageKind.TOMOSYNTHESIS),
        (r"DERIVED\PRIMARY\TOMOSYNTHESIS\GENERATED_2D", ImageKind.TOMOSYNTHESIS),
        (r"DERIVED\PRIMARY\\GENERATED_2D", ImageKind.SYNTHETIC),
        # the words count from the third value on only
        (r"SUBTRACTION\LOW_ENERGY", FFDM),
    ],
)
def test_image_type_names_the_kind(image_type: str, kind: ImageKind) -> None:
    assert kind_of(image_ds(image_type)).kind is kind


@pytest.mark.parametrize(
    ("values", "kind", "weak"),
    [
        ({"AcquisitionDeviceProcessingCode": "GEMS_CESM_1"}, RECOMBINED, False),
        ({"AcquisitionDeviceProcessingCode": "GEMS_FFDM_PV"}, FFDM, False),
        ({"DerivationCodeSequence": [code("113062", "DCM")]}, RECOMBINED, False),
        ({"DerivationCodeSequence": [code("113097", "DCM")]}, RECOMBINED, False),
        ({"DerivationCodeSequence": [code("113040", "DCM")]}, FFDM, False),
        ({"SourceImageSequence": TWO_SOURCES}, RECOMBINED, True),
        ({"SourceImageSequence": TWO_SOURCES[:1]}, FFDM, False),
        ({"KVP": 49}, FFDM, False),  # recombined images copy either exposure's kVp
        ({"FilterMaterial": "COPPER"}, FFDM, False),
    ],
)
def test_a_derived_image_without_a_word_is_known_by_how_it_was_made(
    values: dict[str, Any],
    kind: ImageKind,
    weak: bool,  # noqa: FBT001 - a parameter
) -> None:
    found = kind_of(image_ds(r"DERIVED\PRIMARY", **values))
    assert (found.kind, found.weak) == (kind, weak)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"KVP": 49}, HIGH),
        ({"KVP": "40.0"}, HIGH),
        ({"KVP": 31}, FFDM),
        ({"KVP": 31, "FilterMaterial": "COPPER"}, HIGH),
        ({"FilterMaterial": ["ALUMINUM", "COPPER"]}, HIGH),
        ({"FilterMaterial": "titanium"}, HIGH),
        ({"FilterMaterial": "RHODIUM"}, FFDM),
        ({"KVP": None}, FFDM),
        ({"SourceImageSequence": TWO_SOURCES}, FFDM),
    ],
)
def test_an_original_image_without_a_word_is_known_by_its_exposure(
    values: dict[str, Any], kind: ImageKind
) -> None:
    assert kind_of(image_ds(r"ORIGINAL\PRIMARY", **values)).kind is kind


def test_a_recombined_image_that_copies_the_high_exposure_stays_recombined() -> None:
    ds = image_ds(r"DERIVED\PRIMARY\POST_CONTRAST\SUBTRACTION", KVP=49, FilterMaterial="COPPER")
    assert kind_of(ds).kind is RECOMBINED


def test_a_word_in_image_type_beats_the_exposure() -> None:
    assert kind_of(image_ds(r"ORIGINAL\PRIMARY\\LOW_ENERGY", KVP=49)).kind is LOW


@pytest.mark.parametrize(
    "description", ["C-View", "R CC CView", "S-View", "Intelligent 2D", "Synth"]
)
def test_a_synthetic_image_is_known_by_its_series_description(description: str) -> None:
    found = kind_of(image_ds(r"DERIVED\PRIMARY", SeriesDescription=description))
    assert found.kind is ImageKind.SYNTHETIC


@pytest.mark.parametrize(
    ("image_type", "kind"),
    [
        (r"DERIVED\PRIMARY", ImageKind.SYNTHETIC),
        (r"DERIVED\PRIMARY\POST_CONTRAST\SUBTRACTION", RECOMBINED),
        (r"DERIVED\PRIMARY\POST_CONTRAST", FFDM),
        (r"ORIGINAL\PRIMARY", FFDM),
    ],
)
def test_fuji_writes_synthetic_images_without_a_word(image_type: str, kind: ImageKind) -> None:
    assert kind_of(image_ds(image_type, ManufacturerModelName="FDR-3000AWS")).kind is kind


@pytest.mark.parametrize(
    ("sop_class", "kind"),
    [
        (DigitalMammographyXRayImageStorageForProcessing, LOW),
        (BreastProjectionXRayImageStorageForPresentation, LOW),
        (BreastTomosynthesisImageStorage, ImageKind.TOMOSYNTHESIS),
        (SecondaryCaptureImageStorage, ImageKind.NOT_MAMMOGRAPHY),
        (KeyObjectSelectionDocumentStorage, ImageKind.NOT_MAMMOGRAPHY),
    ],
)
def test_the_sop_class_comes_before_every_word(sop_class: str, kind: ImageKind) -> None:
    assert kind_of(image_ds(SOPClassUID=sop_class)).kind is kind


def test_a_sites_own_expression_is_weak_evidence_and_the_last() -> None:
    rule = re.compile("recomb", re.IGNORECASE)
    named = {"SeriesDescription": "R CC Recombined"}
    found = kind_of(image_ds(r"DERIVED\PRIMARY", **named), rule)
    assert (found.kind, found.weak) == (RECOMBINED, True)
    assert kind_of(image_ds(r"DERIVED\PRIMARY", **named)).kind is FFDM
    assert kind_of(image_ds(r"ORIGINAL\PRIMARY\\LOW_ENERGY", **named), rule).kind is LOW


@pytest.mark.parametrize(
    "values", [{"ImageType": None}, {"ImageType": ""}, {"ImageType": "ORIGINAL"}, {"KVP": ""}]
)
def test_an_image_that_says_nothing_is_a_plain_mammogram(values: dict[str, Any]) -> None:
    ds = image_ds(**{"ImageType": ["ORIGINAL", "PRIMARY"], **values})
    assert kind_of(ds).kind is FFDM


def test_the_evidence_quotes_what_was_read() -> None:
    assert kind_of(image_ds(r"ORIGINAL\PRIMARY\\LOW_ENER")).evidence == "Image Type LOW_ENER"
    assert kind_of(image_ds(r"ORIGINAL\PRIMARY", KVP=49)).evidence == "KVP 49.0"
