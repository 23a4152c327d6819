"""Which side and which view of the breast an image shows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dicom_node.domain.elements import Readable

# CID 4014, SNOMED CT and the older SNOMED RT codes that archives still hold (PS3.16).
VIEW_CODES = {
    "399162004": "CC", "R-10242": "CC",
    "399368009": "MLO", "R-10226": "MLO",
    "399260004": "ML", "R-10224": "ML",
    "399352003": "LM", "R-10228": "LM",
    "399099002": "LMO", "R-10230": "LMO",
    "399192008": "XCCL", "R-1024A": "XCCL",
    "399101009": "XCCM", "R-1024B": "XCCM",
    "399196006": "FB", "R-10244": "FB",
    "399188001": "SIO", "R-102D0": "SIO",
    "441555000": "ISO", "R-40AAA": "ISO",
}  # fmt: skip
# CID 4015.
MODIFIER_CODES = {
    "399209000": "implant_displaced", "R-102D5": "implant_displaced",
    "399055006": "spot", "R-102D7": "spot",
    "399163009": "magnification", "R-102D6": "magnification",
    "399161006": "cleavage", "R-102D2": "cleavage",
    "399011000": "axillary_tail", "R-102D1": "axillary_tail",
    "399197002": "rolled_lateral", "R-102D3": "rolled_lateral",
    "399226006": "rolled_medial", "R-102D4": "rolled_medial",
    "414493004": "rolled_inferior", "R-102CA": "rolled_inferior",
    "415670009": "rolled_superior", "R-102C9": "rolled_superior",
}  # fmt: skip
LATERALITY_CODES = {
    "24028007": "R", "G-A100": "R", "73056007": "R", "T-04020": "R",
    "7771000": "L", "G-A101": "L", "80248007": "L", "T-04030": "L",
    "51440002": "B", "63762007": "B",
}  # fmt: skip
ANALYSED_VIEWS = frozenset({"CC", "MLO"})
_GE_CLINICAL_VIEW = (0x0045, 0x101B)  # private "Clinical View", e.g. RCC
_NAME = re.compile(r"\b(?:[LR][ _-]?)?(XCCL|XCCM|LMO|MLO|CC|ML|LM)\b")


def laterality_of(ds: Readable) -> tuple[str | None, bool]:
    """Laterality ``"L"``, ``"R"``, ``"B"`` or ``None``, and whether two sources contradict.

    Image Laterality, then Laterality, then the Anatomic Region's modifier (PS3.3 C.8.11.7).
    """
    found = [value for value in _lateralities(ds) if value in {"L", "R", "B"}]
    return (found[0] if found else None), len(set(found)) > 1


def _lateralities(ds: Readable) -> Iterator[str]:
    yield str(ds.get("ImageLaterality") or "").strip().upper()
    yield str(ds.get("Laterality") or "").strip().upper()
    for region in ds.get("AnatomicRegionSequence") or []:
        for modifier in region.get("AnatomicRegionModifierSequence") or []:
            yield LATERALITY_CODES.get(str(modifier.get("CodeValue", "")).strip(), "")


def view_of(ds: Readable) -> tuple[str | None, tuple[str, ...]]:
    """View name and sorted view modifiers; the coded view first, then what vendors add.

    The order is View Code Sequence, View Position, GE's Clinical View, Series Description.
    """
    for item in ds.get("ViewCodeSequence") or []:
        name = VIEW_CODES.get(str(item.get("CodeValue", "")).strip())
        if name is not None:
            return name, _modifiers(item)
    for text in _view_texts(ds):
        match = _NAME.search(text.upper())
        if match is not None:
            return match.group(1), ()
    return None, ()


def _view_texts(ds: Readable) -> Iterator[str]:
    yield str(ds.get("ViewPosition") or "")
    if _GE_CLINICAL_VIEW in ds:
        value = ds[_GE_CLINICAL_VIEW].value
        text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
        yield re.sub(r"^\s*([LR])(?=[A-Z])", r"\1 ", text)
    yield str(ds.get("SeriesDescription") or "")


def _modifiers(view_item: Readable) -> tuple[str, ...]:
    codes = (
        str(item.get("CodeValue", "")).strip()
        for item in view_item.get("ViewModifierCodeSequence") or []
    )
    return tuple(sorted(MODIFIER_CODES.get(code, f"code {code}") for code in codes if code))


def partial_view_of(ds: Readable) -> tuple[str, ...]:
    """Codes of the tiles of a large breast (Partial View Code Sequence), sorted."""
    if str(ds.get("PartialView") or "").upper() != "YES":
        return ()
    codes = (str(item.get("CodeValue", "")) for item in ds.get("PartialViewCodeSequence") or [])
    return tuple(sorted(codes)) or ("unspecified",)
