"""What the page takes from the record that a worker writes of its analysis."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dicom_node.web.figures import count, percent
from dicom_node.web.words import DECISION_TONES, SIDES, Tone

SCHEMA = "faps-analysis/1"


class RecordError(Exception):
    """A record that this version cannot read; the message says what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class LesionFigures:
    """Sizes of one lesion in one view; ``None`` where the image has no pixel spacing."""

    number: int
    long_axis_mm: float | None
    area_mm2: float | None
    peak_probability: float


@dataclass(frozen=True, kw_only=True)
class ViewFigures:
    """One analysed view."""

    key: str  # "R-CC", as its pictures are named
    lesions: tuple[LesionFigures, ...]
    has_heat_map: bool
    pairing: str
    weak: bool

    @property
    def name(self) -> str:
        """``"R CC"``."""
        return self.key.replace("-", " ")

    @property
    def found(self) -> str:
        """``"2 lesions"`` or ``"no lesion"``."""
        return count(len(self.lesions), "lesion") if self.lesions else "no lesion"


@dataclass(frozen=True, kw_only=True)
class Breast:
    """What was found in one breast."""

    laterality: str
    p_malignant: float | None
    decision: str
    views: tuple[ViewFigures, ...]
    assistance: str = ""  # what is suggested for the radiologist's category

    @property
    def side(self) -> str:
        """``"Right"`` or ``"Left"``."""
        return SIDES.get(self.laterality, self.laterality)

    @property
    def verdict(self) -> str:
        """``"malignant"``, ``"no lesion"``."""
        return self.decision.replace("_", " ")

    @property
    def tone(self) -> Tone:
        """How loudly the verdict is shown."""
        return DECISION_TONES.get(self.decision, "warn")

    @property
    def short(self) -> str:
        """One line for the list: ``"R: lesion, p(malignant) 83.4 %"``."""
        if self.p_malignant is None:
            return f"{self.laterality}: {self.verdict}"
        return f"{self.laterality}: lesion, p(malignant) {percent(self.p_malignant)}"


@dataclass(frozen=True, kw_only=True)
class Record:
    """An analysis as the page tells it."""

    status: str
    reason: str  # why it is not complete
    conclusion: str
    limitations: tuple[str, ...]
    model: str
    statement: str
    breasts: tuple[Breast, ...]


def read_record(content: bytes) -> Record:
    """The record in ``content`` (UTF-8 JSON).

    Raises
    ------
    RecordError
        When it is no record, or one of another schema than ``SCHEMA``.

    """
    try:
        stored = json.loads(content)
        schema = stored.get("schema")
        if schema != SCHEMA:
            raise RecordError(f"the record's schema is {schema!r}; this version reads {SCHEMA!r}")
        return Record(
            status=str(stored["status"]),
            reason=str(stored["reason"]),
            conclusion=str(stored["conclusion"]),
            limitations=tuple(str(line) for line in stored["limitations"]),
            model=f"{stored['model']['name']} {stored['model']['version']}",
            statement=str(stored["model"]["statement"]),
            breasts=tuple(_breast(finding) for finding in stored["findings"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"the record cannot be read: {type(error).__name__} {error}") from None


def _breast(finding: Mapping[str, Any]) -> Breast:
    return Breast(
        laterality=str(finding["laterality"]),
        p_malignant=_number(finding["p_malignant"]),
        decision=str(finding["decision"]),
        views=tuple(_views(finding["views"])),
        assistance=str((finding.get("assistance") or {}).get("text", "")),
    )


def _views(views: Iterable[Mapping[str, Any]]) -> Iterable[ViewFigures]:
    for view in views:
        yield ViewFigures(
            key=str(view["key"]),
            lesions=tuple(
                LesionFigures(
                    number=int(lesion["number"]),
                    long_axis_mm=_number(lesion["long_axis_mm"]),
                    area_mm2=_number(lesion["area_mm2"]),
                    peak_probability=float(lesion["peak_probability"]),
                )
                for lesion in view["lesions"]
            ),
            has_heat_map=bool(view["has_heat_map"]),
            pairing=str(view["pairing"]["evidence"]),
            weak=bool(view["pairing"]["weak"]),
        )


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
