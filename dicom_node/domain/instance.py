"""What one received DICOM instance says of itself, read from its header."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

OWN_RESULT = "a result of this node"  # why such an object is ignored


class ImageKind(enum.Enum):
    """What kind of image an instance is, by the rules of PS3.3 C.8.11.7.1.4 and vendors' habits."""

    LOW_ENERGY = "low_energy"
    RECOMBINED = "recombined"
    HIGH_ENERGY = "high_energy"
    FFDM = "ffdm"  # plain mammogram: becomes low-energy only by pairing
    TOMOSYNTHESIS = "tomosynthesis"
    SYNTHETIC = "synthetic"
    BIOPSY = "biopsy"
    UNSUPPORTED = (
        "unsupported"  # mammography the rules name but nobody analyses (ADDITION, multi-frame, ...)
    )
    NOT_MAMMOGRAPHY = "not_mammography"  # objects of a mixed push: SC, SR, SEG, KOS, PR, ...


@dataclass(frozen=True, kw_only=True)
class InstanceHeader:
    """Everything the node reads from a header; a value that exists has valid UIDs.

    ``laterality`` is ``"L"``, ``"R"``, ``"B"`` or ``None``; ``view`` a short name such as ``"CC"``
    or ``None``; ``spacing_mm`` is (row, column) in the plane of the breast, by ``spacing_rule``.
    Text that names a person is not kept here.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str = ""
    patient_id: str = ""
    accession_number: str = ""
    modality: str = ""
    kind: ImageKind = ImageKind.NOT_MAMMOGRAPHY
    kind_evidence: str = ""
    kind_weak: bool = False
    exclusion: str | None = None  # reason code when no analysis may use this image
    exclusion_text: str = ""
    laterality: str | None = None
    view: str | None = None
    view_modifiers: tuple[str, ...] = ()
    partial_view: tuple[str, ...] = ()
    rows: int = 0
    columns: int = 0
    frames: int = 1
    bits_stored: int = 0
    photometric_interpretation: str = ""
    spacing_mm: tuple[float, float] | None = None
    spacing_rule: str = ""
    patient_orientation: tuple[str, ...] = ()
    field_of_view: tuple[str, ...] = ()  # (0018,7032) rotation, (0018,7034) horizontal flip
    frame_of_reference_uid: str | None = None
    irradiation_event_uids: tuple[str, ...] = ()
    acquisition_uid: str | None = None
    acquisition_number: str | None = None
    acquired_at: float | None = None  # seconds since 1970, read as if the device were on UTC
    device: str = ""
    source_sop_instance_uids: tuple[str, ...] = ()
    assessments: tuple[str, ...] = ()  # of a report: "R 4A", BI-RADS category by breast
    own_result: bool = False  # written by this product: comes back through the PACS' auto-routing

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types, for the ledger."""
        return {**vars(self), "kind": self.kind.value}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> InstanceHeader:
        """The header that ``to_json`` wrote; tolerates keys of newer and older versions."""
        known = {k: v for k, v in stored.items() if k in cls.__dataclass_fields__}
        for name, value in known.items():
            if isinstance(value, list):
                known[name] = tuple(value)
        known["kind"] = ImageKind(known.get("kind", ImageKind.NOT_MAMMOGRAPHY.value))
        return cls(**known)
