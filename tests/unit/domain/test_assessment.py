"""The radiologist's BI-RADS category, read out of reports and of what people type."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_node.domain.assessment import assessments_of, category_of
from dicom_node.domain.header import InputRule, header_from
from dicom_node.errors import ConfigurationError

RIGHT, LEFT, BOTH = ("24028007", "SCT"), ("7771000", "SCT"), ("51440002", "SCT")
LATERALITY = ("272741003", "SCT")
B4A, B4C, B2 = ("MA.II.A.5.4A", "BI"), ("MA.II.A.5.4C", "BI"), ("397141009", "SCT")


def code(value: str, scheme: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "words"
    return Sequence([item])


def item(name: tuple[str, str], value: tuple[str, str] | None = None, *children: Dataset):
    made = Dataset()
    made.ValueType = "CODE" if value else "CONTAINER"
    made.ConceptNameCodeSequence = code(*name)
    if value:
        made.ConceptCodeSequence = code(*value)
    if children:
        made.ContentSequence = Sequence(children)
    return made


def category(value: tuple[str, str], *children: Dataset) -> Dataset:
    return item(("111005", "DCM"), value, *children)


def side(value: tuple[str, str], name: tuple[str, str] = LATERALITY) -> Dataset:
    return item(name, value)


def report(*items: Dataset) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.22"
    for number, keyword in enumerate(("SOPInstance", "StudyInstance", "SeriesInstance"), 1):
        setattr(ds, f"{keyword}UID", f"1.2.3.{number}")
    ds.Modality = "SR"
    ds.ContentSequence = Sequence(items)
    return ds


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([category(B4A, side(RIGHT))], ("R 4A",)),
        ([category(B4A, side(("G-A101", "SRT"), ("G-C171", "SRT")))], ("L 4A",)),
        ([category(B2)], ("R 2", "L 2")),
        ([category(B2, side(BOTH)), category(B4C, side(LEFT))], ("R 2", "L 4C")),
        ([category(B4A, side(RIGHT)), category(B4C, side(RIGHT))], ("R 4C",)),
        # The laterality of the section around it (TID 4203).
        ([item(("111028", "DCM"), None, side(LEFT), category(B4A))], ("L 4A",)),
        ([category(("397140005", "XYZ"), side(RIGHT))], ()),
        ([item(("121071", "DCM"), B4A)], ()),
    ],
    ids=["right", "srt", "no side", "both", "worst", "section", "other scheme", "other name"],
)
def test_a_reports_categories_are_found_by_breast(items, expected):
    assert assessments_of(report(*items)) == expected


def test_headers_have_them_only_where_the_site_wants_them_and_never_from_ourselves():
    ds = report(category(B4A, side(RIGHT)))
    assert header_from(ds).assessments == ()
    wanted = InputRule(read_assessments=True)
    header = header_from(ds, rule=wanted)
    assert header.assessments == ("R 4A",)
    assert type(header).from_json(header.to_json()) == header
    ds.Manufacturer = ds.ManufacturerModelName = "FAPS Node"
    assert header_from(ds, rule=wanted).assessments == ()


def test_a_report_that_is_deeper_than_any_real_one_ends():
    inner = category(B4A, side(RIGHT))
    for _ in range(200):
        inner = item(("111028", "DCM"), None, inner)
    assert assessments_of(report(inner)) == ()


@pytest.mark.parametrize("words", ["R 4A", " r 4a ", "R  4A"])
def test_people_may_write_it_as_they_like(words):
    assert category_of(words) == ("R", "4A")


@pytest.mark.parametrize("words", ["", "4A", "R", "R 7", "B 4A", "R 4D"])
def test_what_is_no_category_is_refused_with_the_ones_there_are(words):
    with pytest.raises(ConfigurationError, match="such as 'R 4A'"):
        category_of(words)
