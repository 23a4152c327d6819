"""Side and view of the breast, in every place where a header may say them."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_node.domain.view import MODIFIER_CODES, laterality_of, partial_view_of, view_of
from tests.headers import code, dataset_of, image_ds

GE_CLINICAL_VIEW = 0x0045101B


@pytest.mark.parametrize(
    ("name", "sct", "srt"),
    [
        ("CC", "399162004", "R-10242"),
        ("MLO", "399368009", "R-10226"),
        ("ML", "399260004", "R-10224"),
        ("LM", "399352003", "R-10228"),
        ("LMO", "399099002", "R-10230"),
        ("XCCL", "399192008", "R-1024A"),
        ("XCCM", "399101009", "R-1024B"),
        ("FB", "399196006", "R-10244"),
        ("SIO", "399188001", "R-102D0"),
        ("ISO", "441555000", "R-40AAA"),
    ],
)
def test_the_view_code_is_read_in_both_generations_of_snomed(name: str, sct: str, srt: str) -> None:
    assert view_of(image_ds(ViewCodeSequence=[code(sct)])) == (name, ())
    assert view_of(image_ds(ViewCodeSequence=[code(srt, "SRT")])) == (name, ())


def test_modifiers_are_named_and_sorted() -> None:
    modifiers = [code("399055006"), code("R-102D6", "SRT"), code("999")]
    ds = image_ds(ViewCodeSequence=[code("399162004", ViewModifierCodeSequence=modifiers)])
    assert view_of(ds) == ("CC", ("code 999", "magnification", "spot"))


def test_every_modifier_is_known_in_both_generations_of_snomed() -> None:
    names = list(MODIFIER_CODES.values())
    assert all(names.count(name) == 2 for name in names)


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("CC", "CC"), ("mlo", "MLO"), ("L CC", "CC"), ("RMLO", "MLO"), ("L-MLO CESM", "MLO"),
        ("LML", "ML"), ("R_XCCL", "XCCL"), ("LLMO", "LMO"), ("Low energy", None), ("ACCESS", None),
        ("", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("element", ["ViewPosition", "SeriesDescription"])
def test_a_view_in_words_is_read_where_no_code_is_known(
    element: str, text: str, view: str | None
) -> None:
    ds = image_ds(ViewCodeSequence=[code("12345")], **{element: text})
    assert view_of(ds) == (view, ())


@pytest.mark.parametrize(("vr", "value"), [("LO", "RCC"), ("UN", b"RCC "), ("UN", b"RCC\0")])
def test_ge_names_the_view_in_a_private_element(vr: str, value: str | bytes) -> None:
    ds = image_ds(ViewCodeSequence=None)
    ds.add_new(GE_CLINICAL_VIEW, vr, value)
    assert view_of(ds) == ("CC", ())


@pytest.mark.parametrize("text", ["LMLO", "RMLO", "MLO", " L MLO"])
def test_ges_clinical_view_may_name_the_breast_too(text: str) -> None:
    ds = image_ds(ViewCodeSequence=None)
    ds.add_new(GE_CLINICAL_VIEW, "LO", text)
    assert view_of(ds) == ("MLO", ())


def test_the_code_beats_the_words() -> None:
    ds = image_ds(ViewPosition="MLO", SeriesDescription="L LM")
    assert view_of(ds) == ("CC", ())
    assert view_of(image_ds(ViewCodeSequence=None, ViewPosition="ML", SeriesDescription="CC")) == (
        "ML",
        (),
    )


def _region(side: str) -> list[Dataset]:
    return [code("76752008", AnatomicRegionModifierSequence=[code(side)])]


@pytest.mark.parametrize(
    ("values", "laterality", "conflict"),
    [
        ({"ImageLaterality": "L"}, "L", False),
        ({"ImageLaterality": " r "}, "R", False),
        ({"ImageLaterality": "B"}, "B", False),
        ({"Laterality": "L"}, "L", False),
        ({"AnatomicRegionSequence": _region("7771000")}, "L", False),
        ({"AnatomicRegionSequence": _region("G-A100")}, "R", False),
        ({"ImageLaterality": "R", "Laterality": "R"}, "R", False),
        ({"ImageLaterality": "R", "Laterality": ""}, "R", False),
        ({"ImageLaterality": "R", "Laterality": "L"}, "R", True),
        ({"ImageLaterality": "L", "AnatomicRegionSequence": _region("24028007")}, "L", True),
        ({"ImageLaterality": "U"}, None, False),
        ({}, None, False),
    ],
)
def test_laterality_is_read_from_every_place_and_contradictions_are_seen(
    values: dict[str, Any],
    laterality: str | None,
    conflict: bool,  # noqa: FBT001 - a parameter
) -> None:
    ds = image_ds(**{"ImageLaterality": None, **values})
    assert laterality_of(ds) == (laterality, conflict)


@pytest.mark.parametrize(
    ("values", "tiles"),
    [
        ({}, ()),
        ({"PartialView": "NO", "PartialViewCodeSequence": [code("112180", "DCM")]}, ()),
        ({"PartialView": "YES"}, ("unspecified",)),
        (
            {
                "PartialView": "YES",
                "PartialViewCodeSequence": [code("112181", "DCM"), code("112180", "DCM")],
            },
            ("112180", "112181"),
        ),
    ],
)
def test_tiles_of_a_large_breast_are_told_apart(
    values: dict[str, Any], tiles: tuple[str, ...]
) -> None:
    assert partial_view_of(dataset_of(**values)) == tiles
