"""Whose study it is: by the header that a result carries, and by the destination's own answer."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO

from pydicom import Dataset, dcmread, dcmwrite

Header = Mapping[str, str]  # attributes of ``COPIED`` by keyword, "" for what is not there
# What must be the same, and what is taken over where it is not.
COMPARED = {
    "PatientID": "Patient ID",
    "PatientName": "patient name",
    "AccessionNumber": "accession number",
}
COPIED = (*COMPARED, "PatientBirthDate", "PatientSex", "IssuerOfPatientID")
UTF_8 = "ISO_IR 192"


class Verdict(enum.Enum):
    """What becomes of results that are due."""

    SEND = "send"
    WAIT = "wait"  # the destination does not know the study, or not yet
    HOLD = "hold"
    RESTAMP = "restamp"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A verdict with its reason, which names attributes and never their values."""

    verdict: Verdict
    reason: str = ""
    values: Header = field(default_factory=dict)  # for RESTAMP: what the objects are given


def header_of(ds: Dataset) -> dict[str, str]:
    """What ``ds`` says of patient and accession."""
    return {keyword: str(ds.get(keyword) or "").strip() for keyword in COPIED}


def differences(ours: Header, theirs: Header) -> tuple[str, ...]:
    """Which of ``COMPARED`` differ; what the destination leaves empty says nothing.

    >>> differences({"PatientID": "1", "PatientName": "DOE^J"}, {"PatientName": "Doe^J^^"})
    ()
    >>> differences({"PatientID": "1"}, {"PatientID": "2", "AccessionNumber": "A"})
    ('PatientID', 'AccessionNumber')
    """
    return tuple(
        keyword
        for keyword in COMPARED
        if theirs.get(keyword) and _differ(keyword, ours.get(keyword, ""), theirs[keyword])
    )


def judge(
    mode: str, ours: Sequence[Header], answers: Sequence[Header], there: Sequence[Header]
) -> Judgement:
    """What to do with objects whose headers are ``ours``.

    ``mode`` is the destination's ``recheck``; ``answers`` are what it says of the study, ``there``
    the headers of the exam's objects that it has or may have.
    """
    if not answers:
        return Judgement(
            verdict=Verdict.WAIT, reason="does not know the study: have its images arrived there?"
        )
    theirs = answers[0]
    if any(differences(theirs, other) or differences(other, theirs) for other in answers[1:]):
        return Judgement(
            verdict=Verdict.HOLD, reason="has the study more than once, with different patient data"
        )
    found = {keyword for header in ours for keyword in differences(header, theirs)}
    if not found:
        return Judgement(verdict=Verdict.SEND)
    words = " and ".join(COMPARED[keyword] for keyword in COMPARED if keyword in found)
    if mode == "hold":
        return Judgement(verdict=Verdict.HOLD, reason=f"has the study with another {words}")
    if any(differences(header, theirs) for header in there):
        reason = f"has the study with another {words}, and objects of this exam with the former"
        return Judgement(verdict=Verdict.HOLD, reason=reason)
    values = {keyword: theirs[keyword] for keyword in COPIED if theirs.get(keyword)}
    return Judgement(
        verdict=Verdict.RESTAMP, reason=f"given the destination's {words}", values=values
    )


def restamp(content: bytes, values: Header) -> bytes:
    """The same object with other patient data; the same values give the same bytes."""
    ds = dcmread(BytesIO(content))
    if not all(value.isascii() for value in values.values()):
        ds.decode()  # all text is read before the character set that it was written in is gone
        ds.SpecificCharacterSet = UTF_8
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    stream = BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()


def _differ(keyword: str, ours: str, theirs: str) -> bool:
    if keyword != "PatientName":
        return ours.strip() != theirs.strip()
    # A peer may fold case, drop empty components, or know only one of the component groups.
    groups = zip(_groups(ours), _groups(theirs), strict=False)
    return any(own != other for own, other in groups if other)


def _groups(name: str) -> list[str]:
    """The component groups of a person's name (PS3.5 6.2.1), without what means nothing."""
    return [" ".join(group.rstrip("^ ").casefold().split()) for group in name.split("=")]
