"""The radiologist's BI-RADS categories, read out of a structured report."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from dicom_node.domain.elements import Readable
from dicom_node.errors import ConfigurationError

CATEGORIES = ("0", "1", "2", "3", "4", "4A", "4B", "4C", "5", "6")
SIDES = ("R", "L")
# (0008,0100) and (0008,0102) of concept names and values; old reports use SNOMED-RT's spelling.
_ASSESSMENT = ("111005", "DCM")
_LATERALITY = {("272741003", "SCT"), ("G-C171", "SRT")}
_SIDES = {
    ("24028007", "SCT"): ("R",), ("G-A100", "SRT"): ("R",),
    ("7771000", "SCT"): ("L",), ("G-A101", "SRT"): ("L",),
    ("51440002", "SCT"): SIDES, ("G-A102", "SRT"): SIDES,
}  # fmt: skip
# PS3.16 CID 6026.
_CATEGORIES = {
    ("397138000", "SCT"): "0", ("397140005", "SCT"): "1", ("397141009", "SCT"): "2",
    ("397143007", "SCT"): "3", ("397144001", "SCT"): "4", ("397145000", "SCT"): "5",
    ("MA.II.A.5.4A", "BI"): "4A", ("MA.II.A.5.4B", "BI"): "4B", ("MA.II.A.5.4C", "BI"): "4C",
    ("MA.II.A.5.6", "BI"): "6",
}  # fmt: skip
_DEEPEST = 20  # a real report is no deeper


def category_of(words: str) -> tuple[str, str]:
    """Breast and category that a person wrote, ``"R 4a"`` as ``("R", "4A")``.

    Raises
    ------
    ConfigurationError
        When it names no breast or no category.
    """
    side, _, category = words.strip().upper().partition(" ")
    category = category.strip()
    if side not in SIDES or category not in CATEGORIES:
        raise ConfigurationError(
            f"{words!r}: is no breast with a BI-RADS category; write R or L, then one of "
            f"{', '.join(CATEGORIES)}, such as 'R 4A'"
        )
    return side, category


def assessments_of(ds: Readable) -> tuple[str, ...]:
    """``("R 4A", "L 2")``: one category a breast, out of the content of a report (PS3.3 C.17.3).

    An Assessment Category (111005, DCM) belongs to the laterality that modifies it or the nearest
    item around it, or to both breasts where none does. The most suspicious one of a breast counts.
    """
    found: dict[str, str] = {}
    for side, category in _walk(ds, SIDES, 0):
        if side not in found or CATEGORIES.index(category) > CATEGORIES.index(found[side]):
            found[side] = category
    return tuple(f"{side} {found[side]}" for side in SIDES if side in found)


def _walk(ds: Readable, sides: tuple[str, ...], depth: int) -> Iterator[tuple[str, str]]:
    items = ds.get("ContentSequence") or []
    for item in items:
        if _code(item, "ConceptNameCodeSequence") in _LATERALITY:
            sides = _SIDES.get(_code(item, "ConceptCodeSequence"), sides)
    for item in items if depth < _DEEPEST else ():
        own = _modified(item, sides)
        category = _CATEGORIES.get(_code(item, "ConceptCodeSequence"))
        if _code(item, "ConceptNameCodeSequence") == _ASSESSMENT and category is not None:
            yield from ((side, category) for side in own)
        yield from _walk(item, own, depth + 1)


def _modified(item: Dataset, sides: tuple[str, ...]) -> tuple[str, ...]:
    """The breasts that an item speaks of, by its own modifier or that of the item around it."""
    for child in item.get("ContentSequence") or []:
        if _code(child, "ConceptNameCodeSequence") in _LATERALITY:
            return _SIDES.get(_code(child, "ConceptCodeSequence"), sides)
    return sides


def _code(item: Dataset, keyword: str) -> tuple[str, str]:
    sequence = item.get(keyword) or []
    if not sequence:
        return ("", "")
    return (
        str(sequence[0].get("CodeValue", "")),
        str(sequence[0].get("CodingSchemeDesignator", "")),
    )
