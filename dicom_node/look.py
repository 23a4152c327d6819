"""A destination asked what it has of a study: C-FIND, or QIDO-RS where it is one on the web."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom import Dataset
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made dynamically
    StudyRootQueryRetrieveInformationModelFind,
)

from dicom_node import dicomweb
from dicom_node.associate import association, describe
from dicom_node.destination_section import Destination
from dicom_node.domain.dimse import UNCOMPRESSED
from dicom_node.errors import NothingAccepted, PeerError

_MODEL = StudyRootQueryRetrieveInformationModelFind
_CONTEXTS = [build_context(_MODEL, list(UNCOMPRESSED))]


def studies(
    destination: Destination, calling_ae: str, study: str, keywords: Sequence[str]
) -> list[Dataset]:
    """What the destination says of a study: nothing, or an answer for each time it has it.

    Raises
    ------
    PeerError
        When it gives no answer; ``NothingAccepted`` when it offers no query.

    """
    if destination.kind == "dicomweb":
        return dicomweb.studies(destination, study, keywords)
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = study
    for keyword in keywords:
        setattr(query, keyword, "")
    with association(destination, calling_ae, _CONTEXTS) as assoc:
        return find(destination, assoc, query)


def instances(
    destination: Destination, calling_ae: str, study: str, series: Iterable[str]
) -> set[str]:
    """SOP Instance UIDs that the destination lists in these series of a study; raises as above."""
    if destination.kind == "dicomweb":
        return dicomweb.instances(destination, study, series)
    found: set[str] = set()
    with association(destination, calling_ae, _CONTEXTS) as assoc:
        for uid in sorted(set(series)):
            query = Dataset()
            query.QueryRetrieveLevel = "IMAGE"
            query.StudyInstanceUID = study
            query.SeriesInstanceUID = uid
            query.SOPInstanceUID = ""
            answers = find(destination, assoc, query)
            found |= {str(answer.get("SOPInstanceUID", "")) for answer in answers}
    return found


def find(destination: Destination, assoc: Association, query: Dataset) -> list[Dataset]:
    """What the destination answers of the study that the query names; raises as above."""
    try:
        told = list(assoc.send_c_find(query, _MODEL))
    except ValueError:  # of what was proposed it accepted other contexts
        raise NothingAccepted(f"{describe(destination)}: offers no Study Root C-FIND") from None
    code = told[-1][0].get("Status") if told else None
    if code != 0x0000:
        words = "no answer" if code is None else f"0x{code:04X}"
        raise PeerError(f"{describe(destination)}: C-FIND ended with {words}")
    # A peer that does not match by UID answers with other studies too.
    return [
        answer
        for _, answer in told
        if answer is not None
        and answer.get("StudyInstanceUID", query.StudyInstanceUID) == query.StudyInstanceUID
    ]
