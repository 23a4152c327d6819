"""Files sent to any DICOM node, as a modality would send them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom import _config
from pynetdicom.presentation import PresentationContext, build_context

from dicom_node.associate import association
from dicom_node.domain.delivery import DeliveryEvent, outcome_of
from dicom_node.errors import PeerError
from dicom_node.settings import Destination

MOST_CONTEXTS = 128  # PS3.8 9.3.2.2: presentation context ids are the odd numbers up to 255


@dataclass(frozen=True)
class Sent:
    """What became of one file; ``answered_at`` is ``time.time()`` at the answer."""

    path: Path
    accepted: bool
    reason: str
    answered_at: float


def find_objects(folder: Path) -> dict[Path, tuple[str, str]]:
    """Every DICOM file below ``folder`` (or the file itself): its SOP class and transfer syntax."""
    files = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
    found = {}
    for path in files:
        try:
            meta = dcmread(path, stop_before_pixels=True, specific_tags=[]).file_meta
            found[path] = (str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID))
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
    _config.STORE_SEND_CHUNKED_DATASET = True
    sent = []
    with association(destination, calling_ae, _contexts(objects.values())) as assoc:
        for path in objects:
            try:
                answer = assoc.send_c_store(path)
                status = int(answer.Status) if "Status" in answer else None
                outcome = outcome_of(status, str(answer.get("ErrorComment") or ""))
                accepted, reason = outcome.event is DeliveryEvent.SUCCESS, outcome.reason
            except (ValueError, RuntimeError) as error:
                accepted, reason = False, str(error).splitlines()[0]
            result = Sent(path, accepted, reason, time.time())
            sent.append(result)
            each(result)
    return sent


def _contexts(kinds: Iterable[tuple[str, str]]) -> list[PresentationContext]:
    """One context for each pair of class and syntax, so that each file goes as it is stored."""
    syntaxes = defaultdict(set)
    for sop_class, syntax in kinds:
        syntaxes[sop_class].add(syntax)
    contexts = [
        build_context(UID(sop_class), [UID(syntax)])
        for sop_class in sorted(syntaxes)
        for syntax in sorted(syntaxes[sop_class])
    ]
    return contexts[:MOST_CONTEXTS]
