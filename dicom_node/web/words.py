"""What each state means, how it is coloured, what a person should do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dicom_node.domain.delivery import DeliveryState
from dicom_node.domain.instance import ImageKind
from dicom_node.domain.job import JobState
from dicom_node.domain.study import StudyState

Tone = Literal["quiet", "work", "good", "warn", "bad"]
IGNORED = "ignored"  # a closed study of which no job was made


@dataclass(frozen=True)
class StateWords:
    """A state as the page tells it: its colour, what it means, the next step."""

    tone: Tone
    meaning: str
    advice: str


_SEND_AGAIN = "Send the missing images from the modality or the PACS; the exam then runs again."
STATES: dict[str, StateWords] = {
    StudyState.OPEN.value: StateWords(
        "work",
        "Images are arriving. The analysis starts by itself once the exam is complete.",
        "Nothing to do. If images are missing for long, send them from the modality again.",
    ),
    JobState.QUEUED.value: StateWords(
        "work", "The exam is complete; it waits for a free worker.", "Nothing to do."
    ),
    JobState.ANALYSING.value: StateWords(
        "work", "A worker is analysing the exam.", "Nothing to do."
    ),
    JobState.ANALYSED.value: StateWords(
        "work", "The results are stored here; their delivery runs.", "Nothing to do."
    ),
    JobState.DELIVERED.value: StateWords(
        "good", "Every destination has accepted every result object.", "Nothing to do."
    ),
    JobState.CONFIRMED.value: StateWords(
        "good", "Every destination has confirmed that it keeps every result.", "Nothing to do."
    ),
    JobState.HELD.value: StateWords(
        "warn",
        "The exam is not analysed until a person has looked at it.",
        "Check patient and images at the modality, then let it run with the command below.",
    ),
    JobState.UNSUITABLE.value: StateWords(
        "warn",
        "Nothing in this exam may be analysed. This is not a negative result.",
        _SEND_AGAIN,
    ),
    JobState.FAILED.value: StateWords(
        "bad",
        "Analysis or delivery should have worked but did not. This is not a negative result.",
        "Look into the worker's log, then let the exam run again with the command below.",
    ),
    JobState.WITHDRAWN.value: StateWords(
        "warn",
        "The results do not count any more; where they were sent, a rejection note may say so.",
        "Nothing to do. New results need a new analysis: the command below.",
    ),
    IGNORED: StateWords(
        "quiet",
        "No contrast-enhanced mammogram is in this study. It is kept here but not analysed.",
        "Nothing to do, unless the study should hold such images: then see the table of images.",
    ),
}
NO_DESTINATION = "No destination is configured: add one under [[destinations]] in node.toml."
NO_TAKER = (
    "No destination takes results of exams that came so: see profiles and senders under "
    "[[destinations]] in node.toml. They stay here."
)
NO_WORKER = "No worker is running: start one with dicom-node worker, or everything with up."
REFUSED = "A destination refuses result objects: see the table of result objects."
HELD = (
    "A destination knows this study by other patient data. Find out which are right; the command "
    "below sends the results as they are."
)
REPLACED = (
    "A destination does not take some result objects, and others went in their place. Ask it with "
    "dicom-node probe NAME, then set its outputs in node.toml."
)

DELIVERY_TONES: dict[str, Tone] = {
    DeliveryState.WAITING.value: "work",
    DeliveryState.SENT.value: "work",
    DeliveryState.ACCEPTED.value: "good",
    DeliveryState.COMMITTED.value: "good",
    DeliveryState.SEEN.value: "good",
    DeliveryState.REFUSED.value: "bad",
    DeliveryState.UNKNOWN.value: "warn",
    DeliveryState.CANCELLED.value: "quiet",
    DeliveryState.REPLACED.value: "warn",
    DeliveryState.HELD.value: "warn",
}
DECISION_TONES: dict[str, Tone] = {
    "malignant": "warn",
    "indeterminate": "warn",
    "not_assessed": "warn",
    "benign": "quiet",
    "no_lesion": "quiet",
}
KINDS: dict[ImageKind, str] = {
    ImageKind.LOW_ENERGY: "low-energy",
    ImageKind.RECOMBINED: "recombined",
    ImageKind.HIGH_ENERGY: "high-energy",
    ImageKind.FFDM: "plain mammogram",
    ImageKind.TOMOSYNTHESIS: "tomosynthesis",
    ImageKind.SYNTHETIC: "synthetic 2-D",
    ImageKind.BIOPSY: "biopsy",
    ImageKind.UNSUPPORTED: "not supported",
    ImageKind.NOT_MAMMOGRAPHY: "no mammogram",
}
SIDES = {"R": "Right", "L": "Left"}
ROLES = {
    "seg": "Segmentation",
    "labelmap": "Label map",
    "sr": "Structured report",
    "sr_image": "Structured report",
    "sr_2d": "Structured report",
    "sr_image_2d": "Structured report",
    "cad_sr": "Mammography CAD report",
    "gsps": "Presentation state",
    "sc": "Colour picture",
    "key_objects": "Key objects",
    "rejection": "Rejection note",
}
STAGES = {
    "read": "Read and decode",
    "segment": "Segmentation network",
    "outline": "Outlines",
    "classify": "Classification network",
    "preview": "Pictures for this page",
    "encode": "Result objects",
}
# Subject and event of the ledger's rows; what is not here shows as the ledger has it.
_EVENTS = {
    ("instance", "received_new"): "image received",
    ("instance", "received_ignored"): "object received, not used",
    ("instance", "received_conflict"): "image received with other content than before",
    ("instance", "received_patient_mismatch"): "image received with another Patient ID",
    ("study", "closed"): "exam closed",
    ("study", "reopened"): "exam reopened",
    ("assessment", "given"): "radiologist's category",
    ("job", "created"): "analysis ordered",
    ("job", "claimed"): "analysis began",
    ("job", "lease_lost"): "worker lost",
    ("job", "retry"): "analysis failed, tried again",
    ("job", "results_stored"): "results stored",
    ("job", "all_delivered"): "everything delivered",
    ("job", "all_confirmed"): "everything confirmed",
    ("job", "sent_back"): "to be sent again",
    ("job", "found_unsuitable"): "found unsuitable",
    ("job", "gave_up"): "given up",
    ("job", "requeued"): "queued again",
    ("job", "withdrawn"): "results withdrawn",
    ("withdrawal", "note_written"): "rejection note written",
    ("procedure", "begun"): "the modality began",
    ("procedure", "continued"): "the modality goes on",
    ("procedure", "completed"): "the modality is done",
    ("procedure", "discontinued"): "the modality broke off",
    ("pull", "all_here"): "missing images fetched",
    ("pull", "try_again"): "images not fetched yet",
    ("pull", "gave_up"): "images not fetched",
    ("delivery", "send"): "sending",
    ("delivery", "success"): "accepted",
    ("delivery", "transient"): "not accepted, tried later",
    ("delivery", "no_answer"): "no answer",
    ("delivery", "refusal"): "refused",
    ("delivery", "replace"): "class not taken, others sent instead",
    ("delivery", "restamp"): "given the destination's patient data",
    ("delivery", "hold"): "held: other patient data at the destination",
    ("delivery", "commit"): "committed",
    ("delivery", "commit_failure"): "commitment refused",
    ("delivery", "found"): "found at the destination",
    ("delivery", "not_found"): "accepted, yet not found",
    ("delivery", "unproven"): "no proof to be had",
    ("delivery", "resend"): "to be sent again",
    ("delivery", "cancel"): "not sent any more",
}


def event_words(subject: str, event: str) -> str:
    """An event as a person says it."""
    return _EVENTS.get((subject, event)) or f"{subject} {event}".replace("_", " ")


def actor_words(actor: str) -> str:
    """Who did it; a worker's name shrinks to host and process.

    >>> actor_words("reading-1/6f1c/812/99120"), actor_words("assemble")
    ('worker reading-1, process 812', 'assemble')
    """
    host, *rest = actor.split("/")
    if len(rest) != 3:  # noqa: PLR2004 - host/boot/process/start, as store.owners writes it
        return actor
    return f"worker {host}, process {rest[1]}"


def object_name(role: str, key: str) -> str:
    """``"Segmentation R CC"``, ``"Structured report"``."""
    name = ROLES.get(role, role)
    return name if key == "exam" else f"{name} {key.replace('-', ' ')}"


def view_words(name: str) -> str:
    """A grid cell's name, unknown parts in words.

    >>> view_words("R CC"), view_words("? CC"), view_words("? ?")
    ('R CC', 'side unknown, CC', 'side and view unknown')
    """
    side, _, view = name.partition(" ")
    if side == "?" and view == "?":
        return "side and view unknown"
    if side == "?":
        return f"side unknown, {view}"
    return f"{side}, view unknown" if view == "?" else name
