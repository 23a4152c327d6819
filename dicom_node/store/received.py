"""A received instance on its way into the ledger, and what it amounts to there."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from dicom_node.domain.association import Entry
from dicom_node.domain.instance import OWN_RESULT, InstanceHeader


class Intake(enum.Enum):
    """What recording an instance amounted to; the sender gets 0x0000 for each of them."""

    NEW = "new"
    DUPLICATE = "duplicate"  # the same bytes came before: nothing to do
    IGNORED = "ignored"
    CONFLICT = "conflict"
    MISMATCH = "patient_mismatch"


HOLD_CODES = {Intake.CONFLICT: "conflicting_instance", Intake.MISMATCH: "patient_mismatch"}


@dataclass(frozen=True, kw_only=True)
class Received:
    """An instance whose file is durable, on its way into the ledger."""

    header: InstanceHeader
    sha256: str
    size: int
    association_id: Entry | None
    calling_ae: str


@dataclass
class KnownStudy:
    """A study's row as the transaction leaves it, and what of it has changed."""

    id: int
    study_instance_uid: str
    patient_id: str
    state: str
    revision: int
    last_received_at: float
    changes: dict[str, object] = field(default_factory=dict)


def judge(
    header: InstanceHeader, patient_id: str, *, own: bool, conflict: bool
) -> tuple[Intake, str]:
    """What an instance amounts to in the study of ``patient_id``, and why, where that is said."""
    if own:
        return Intake.IGNORED, OWN_RESULT
    if header.modality != "MG":
        return Intake.IGNORED, f"modality {header.modality or 'missing'} takes no part"
    if conflict:
        return Intake.CONFLICT, "this SOP Instance UID came before with other content"
    if header.patient_id != patient_id:
        return Intake.MISMATCH, "the study came before with another Patient ID"
    return Intake.NEW, header.exclusion_text
