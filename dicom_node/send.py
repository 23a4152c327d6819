"""Files sent to any DICOM node, as a modality would send them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from dicom_node.associate import ANSWER_S, association
from dicom_node.domain.delivery import DeliveryEvent, outcome_of
from dicom_node.domain.dimse import class_name
from dicom_node.errors import PeerError
from dicom_node.push import Line, WireError, dataset_of, held
from dicom_node.settings import Destination

MOST_CONTEXTS = 128  # PS3.8 9.3.2.2: presentation context ids are the odd numbers up to 255


@dataclass(frozen=True)
class Sent:
    """What became of one file; ``answered_at`` is ``time.time()`` at the answer."""

    path: Path
    accepted: bool
    reason: str
    answered_at: float


@dataclass(frozen=True)
class ObjectMeta:
    """What a file says of the object in it (PS3.10 7.1)."""

    sop_class_uid: str
    transfer_syntax_uid: str
    sop_instance_uid: str


def find_objects(folder: Path) -> dict[Path, ObjectMeta]:
    """Every DICOM file below ``folder`` (or the file itself)."""
    files = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
    found = {}
    for path in files:
        try:
            meta = dcmread(path, stop_before_pixels=True, specific_tags=[]).file_meta
            found[path] = ObjectMeta(
                str(meta.MediaStorageSOPClassUID),
                str(meta.TransferSyntaxUID),
                str(meta.MediaStorageSOPInstanceUID),
            )
        except (InvalidDicomError, OSError, AttributeError):
            continue
    return found


def send_folder(
    folder: Path,
    destination: Destination,
    calling_ae: str,
    each: Callable[[Sent], None] = lambda _sent: None,
) -> list[Sent]:
    """Send every DICOM file below a folder over one association, in the order of their names.

    Raises
    ------
    PeerError
        When there is nothing to send, or the destination cannot be reached.

    """
    objects = find_objects(folder)
    if not objects:
        raise PeerError(f"{folder}: no DICOM file there; name a folder with .dcm files")
    with association(destination, calling_ae, _contexts(objects.values())) as assoc:
        return _send_all(assoc, objects, each)


def _send_all(
    assoc: Association, objects: Mapping[Path, ObjectMeta], each: Callable[[Sent], None]
) -> list[Sent]:
    contexts = {
        (str(one.abstract_syntax), str(one.transfer_syntax[0])): one.context_id or 0
        for one in assoc.accepted_contexts
    }
    sent: list[Sent] = []

    def note(path: Path, reason: str, *, accepted: bool) -> None:
        sent.append(Sent(path, accepted, reason, time.time()))
        each(sent[-1])

    try:
        with held(assoc, ANSWER_S) as line:
            for path, meta in objects.items():
                accepted, reason = _store(line, contexts, path, meta)
                note(path, reason, accepted=accepted)
    except WireError as error:
        if assoc.is_established:
            assoc.abort()
        for path in [*objects][len(sent) :]:
            note(path, str(error), accepted=False)
    return sent


def _store(
    line: Line, contexts: Mapping[tuple[str, str], int], path: Path, meta: ObjectMeta
) -> tuple[bool, str]:
    """Whether the peer has taken one file, and its answer in words."""
    context_id = contexts.get((meta.sop_class_uid, meta.transfer_syntax_uid))
    if context_id is None:
        syntax = UID(meta.transfer_syntax_uid).name
        return False, f"does not take {class_name(meta.sop_class_uid)} in {syntax}"
    try:
        dataset = dataset_of(path.read_bytes())
    except (OSError, ValueError) as error:
        return False, str(error)
    answer = line.store(context_id, meta.sop_class_uid, meta.sop_instance_uid, dataset)
    status = int(answer.Status) if "Status" in answer else None
    outcome = outcome_of(status, str(answer.get("ErrorComment") or ""))
    return outcome.event is DeliveryEvent.SUCCESS, outcome.reason


def _contexts(kinds: Iterable[ObjectMeta]) -> list[PresentationContext]:
    """One context for each pair of class and syntax, so that each file goes as it is stored."""
    syntaxes = defaultdict(set)
    for kind in kinds:
        syntaxes[kind.sop_class_uid].add(kind.transfer_syntax_uid)
    contexts = [
        build_context(UID(sop_class), [UID(syntax)])
        for sop_class in sorted(syntaxes)
        for syntax in sorted(syntaxes[sop_class])
    ]
    return contexts[:MOST_CONTEXTS]
