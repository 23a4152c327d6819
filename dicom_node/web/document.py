"""A structured report as people read it: headings, sentences, numbers; UIDs stay in the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_node.errors import ArchiveError

# What only machines ask for; a reader would have to look past it.
_UNREAD_TYPES = frozenset({"UIDREF"})
_DETAILS = ("Algorithm ", "Device Observer", "Image Library", "Observer ", "Language ")
_FIRST = "Qualitative Evaluations"  # what was concluded, in sentences
_FLAGS = {
    "COMPLETE": "complete", "PARTIAL": "partial",
    "UNVERIFIED": "not verified by a person", "VERIFIED": "verified",
    "PRELIMINARY": "preliminary", "FINAL": "final",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Line:
    """One content item: ``value`` is empty for a heading."""

    name: str
    value: str
    children: tuple[Line, ...] = ()

    @property
    def heading(self) -> bool:
        """Whether it only holds others."""
        return not self.value

    @property
    def detail(self) -> bool:
        """Whether it stands behind what a reader looks for first."""
        return self.name.startswith(_DETAILS)


@dataclass(frozen=True, kw_only=True)
class Document:
    """A report: its title, what its flags say, and its content."""

    title: str
    sop_instance_uid: str
    flags: tuple[str, ...]
    predecessors: tuple[str, ...]  # SOP Instance UIDs of the reports whose place it takes
    lines: tuple[Line, ...]


def document(content: bytes, images: Mapping[str, str]) -> Document:
    """``content``, a file with a structured report (PS3.3 A.35).

    ``images`` names images by their SOP Instance UID.

    Raises
    ------
    ArchiveError
        When the file is no structured report.

    """
    try:
        ds = dcmread(BytesIO(content))
    except (InvalidDicomError, OSError, ValueError) as error:
        raise ArchiveError(f"the stored report cannot be read: {error}") from error
    if "ContentSequence" not in ds:
        raise ArchiveError(f"{ds.get('SOPInstanceUID')}: is no structured report")
    flags = (ds.get(name) for name in ("CompletionFlag", "PreliminaryFlag", "VerificationFlag"))
    return Document(
        title=_name(ds),
        sop_instance_uid=str(ds.SOPInstanceUID),
        flags=tuple(_FLAGS.get(flag, flag) for flag in flags if flag),
        predecessors=tuple(_referenced(ds.get("PredecessorDocumentsSequence") or ())),
        lines=tuple(sorted(_lines(ds, images), key=lambda line: line.name != _FIRST)),
    )


def _lines(item: Dataset, images: Mapping[str, str]) -> Iterator[Line]:
    for child in item.get("ContentSequence") or ():
        kind = str(child.get("ValueType"))
        if kind not in _UNREAD_TYPES:
            value = _value(kind, child, images)
            # Points of an outline and what they lie on: the pictures show them.
            deeper = () if kind == "SCOORD" else tuple(_lines(child, images))
            yield Line(name=_name(child), value=value, children=deeper)


def _value(kind: str, item: Dataset, images: Mapping[str, str]) -> str:
    if kind == "CODE":
        return str(item.ConceptCodeSequence[0].CodeMeaning)
    if kind == "NUM":
        (measured,) = item.MeasuredValueSequence or (Dataset(),)
        units = measured.get("MeasurementUnitsCodeSequence") or ()
        return " ".join([str(measured.get("NumericValue", "")), *(u.CodeValue for u in units)])
    if kind in {"IMAGE", "COMPOSITE"}:
        uid = str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        return images.get(uid, "an object of the study")
    if kind == "SCOORD":
        on = next((i for i in item.ContentSequence if i.ValueType == "IMAGE"), None)
        where = _value("IMAGE", on, images) if on is not None else "the image"
        return f"outline of {len(item.GraphicData) // 2 - 1} points on {where}"
    return str(item.get("TextValue", ""))


def _name(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence") or ()
    return str(names[0].CodeMeaning) if names else "Image"


def _referenced(studies: Iterable[Dataset]) -> Iterator[str]:
    for study in studies:
        for series in study.ReferencedSeriesSequence:
            for reference in series.ReferencedSOPSequence:
                yield str(reference.ReferencedSOPInstanceUID)
