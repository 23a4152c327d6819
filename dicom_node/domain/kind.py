"""What kind of image an instance is, with the evidence that says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from pydicom.uid import (
    BreastProjectionXRayImageStorageForPresentation,
    BreastProjectionXRayImageStorageForProcessing,
    BreastTomosynthesisImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
)

from dicom_node.domain.elements import Readable
from dicom_node.domain.instance import ImageKind

FOR_PRESENTATION = frozenset(
    {
        DigitalMammographyXRayImageStorageForPresentation,
        BreastProjectionXRayImageStorageForPresentation,
    }
)
FOR_PROCESSING = frozenset(
    {
        DigitalMammographyXRayImageStorageForProcessing,
        BreastProjectionXRayImageStorageForProcessing,
    }
)
MAMMOGRAPHY = FOR_PRESENTATION | FOR_PROCESSING | {BreastTomosynthesisImageStorage}

HIGH_ENERGY_KVP = 40.0  # low 23..33 kVp, high 44..50 kVp (Eur Radiol 2022, s00330-022-09238-9)
HIGH_ENERGY_FILTERS = ("COPPER", "TITANIUM")
_BIOPSY = ("STEREO_", "PREFIRE", "POSTFIRE", "POSTBIOPSY", "POSTMARKER")
_SYNTHETIC_NAME = re.compile(r"C-?View|S-?View|Intelligent 2D|synth", re.IGNORECASE)
# PS3.16 CID 7203: pixel by pixel subtraction, multi-energy proportional weighting.
_SUBTRACTION_DERIVATIONS = frozenset({"113062", "113097"})


class Kind(NamedTuple):
    """A kind, the element that says so, and whether that is only a guess."""

    kind: ImageKind
    evidence: str
    weak: bool = False


def kind_of(ds: Readable, description: re.Pattern[str] | None = None) -> Kind:
    """Kind of image by the first rule that fires.

    Image Type comes first because it is the standard's own place (PS3.3 C.8.11.7.1.4); vendors put
    the energy in value 4 or 5, so every value from the third on is read. ``description`` is a
    site's own expression for recombined images' series descriptions; it is weak evidence.
    """
    sop_class = str(ds.get("SOPClassUID", ""))
    if sop_class not in MAMMOGRAPHY:
        return Kind(ImageKind.NOT_MAMMOGRAPHY, f"SOP Class {sop_class}")
    if sop_class == BreastTomosynthesisImageStorage:
        return Kind(ImageKind.TOMOSYNTHESIS, "SOP Class Breast Tomosynthesis")
    for rule in _RULES:
        kind = rule(ds)
        if kind is not None:
            return kind
    text = " ".join(
        str(ds.get(name) or "")
        for name in ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
    )
    if description is not None and description.search(text):
        return Kind(ImageKind.RECOMBINED, "site rule on the description", weak=True)
    return Kind(ImageKind.FFDM, "no element names an energy")


def _image_type(ds: Readable) -> list[str]:
    value = ds.get("ImageType") or []
    values = [value] if isinstance(value, str) else list(value)
    return [str(item).strip().upper() for item in values]


def _tokens(ds: Readable) -> list[str]:
    return [token for token in _image_type(ds)[2:] if token]


def _biopsy(ds: Readable) -> Kind | None:
    for token in _tokens(ds):
        if token.startswith(_BIOPSY):
            return Kind(ImageKind.BIOPSY, f"Image Type {token}")
    return None


def _synthetic(ds: Readable) -> Kind | None:
    for token in _tokens(ds):
        if token.startswith("TOMO"):
            return Kind(ImageKind.TOMOSYNTHESIS, f"Image Type {token}")
        if token == "GENERATED_2D":  # noqa: S105 - a defined term, not a password
            return Kind(ImageKind.SYNTHETIC, f"Image Type {token}")
    if _is_fuji_synthetic(ds):
        return Kind(ImageKind.SYNTHETIC, "Manufacturer's Model Name FDR-3000AWS")
    if _SYNTHETIC_NAME.search(str(ds.get("SeriesDescription") or "")):
        return Kind(ImageKind.SYNTHETIC, "Series Description")
    return None


def _is_fuji_synthetic(ds: Readable) -> bool:
    # Fuji's S-View images say DERIVED, PRIMARY and no more; a contrast image says POST_CONTRAST.
    model = str(ds.get("ManufacturerModelName") or "").strip().upper()
    return model == "FDR-3000AWS" and _image_type(ds)[:1] == ["DERIVED"] and not _tokens(ds)


def _recombined_by_image_type(ds: Readable) -> Kind | None:
    for token in _tokens(ds):
        if token in {"SUBTRACTION", "RECOMBINED"}:
            return Kind(ImageKind.RECOMBINED, f"Image Type {token}")
        if token == "ADDITION":  # noqa: S105 - a defined term, not a password
            return Kind(ImageKind.UNSUPPORTED, f"Image Type {token}")
    return None


def _energy_by_image_type(ds: Readable) -> Kind | None:
    # Prefixes, because archives hold values cut to 16 characters and shorter ("LOW_ENER").
    for token in _tokens(ds):
        if token.startswith("HIGH_ENER"):
            return Kind(ImageKind.HIGH_ENERGY, f"Image Type {token}")
        if token.startswith("LOW_ENER"):
            return Kind(ImageKind.LOW_ENERGY, f"Image Type {token}")
    return None


def _recombined_by_processing(ds: Readable) -> Kind | None:
    code = str(ds.get("AcquisitionDeviceProcessingCode") or "")
    if "CESM" in code.upper():
        return Kind(ImageKind.RECOMBINED, f"Acquisition Device Processing Code {code}")
    for item in ds.get("DerivationCodeSequence") or []:
        value = str(item.get("CodeValue", "")).strip()
        if value in _SUBTRACTION_DERIVATIONS:
            return Kind(ImageKind.RECOMBINED, f"Derivation Code {value}")
    return None


def _high_energy_by_exposure(ds: Readable) -> Kind | None:
    # Never on derived images: recombined ones copy either exposure's kVp.
    if _image_type(ds)[:1] != ["ORIGINAL"]:
        return None
    kvp = ds.get("KVP")
    if _at_least(kvp, HIGH_ENERGY_KVP):
        return Kind(ImageKind.HIGH_ENERGY, f"KVP {kvp}")
    filters = str(ds.get("FilterMaterial") or "").upper()
    for material in HIGH_ENERGY_FILTERS:
        if material in filters:
            return Kind(ImageKind.HIGH_ENERGY, f"Filter Material {material}")
    return None


def _at_least(value: Any, limit: float) -> bool:  # noqa: ANN401 - whatever a header holds
    """Whether ``value`` is a number of at least ``limit``; what is no number proves nothing."""
    try:
        return float(value) >= limit
    except (TypeError, ValueError):
        return False


def _recombined_by_sources(ds: Readable) -> Kind | None:
    sources = ds.get("SourceImageSequence") or []
    if _image_type(ds)[:1] == ["DERIVED"] and len(sources) > 1:
        return Kind(ImageKind.RECOMBINED, f"derived from {len(sources)} source images", weak=True)
    return None


_RULES: tuple[Callable[[Readable], Kind | None], ...] = (
    _biopsy,
    _synthetic,
    _recombined_by_image_type,
    _energy_by_image_type,
    _recombined_by_processing,
    _high_energy_by_exposure,
    _recombined_by_sources,
)
