"""Stored objects carried to a destination by C-STORE, over an association kept for a while."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import replace
from io import BytesIO

from pydicom import dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.dsutils import encode
from pynetdicom.presentation import build_context

from dicom_node.associate import ANSWER_S, association, echo
from dicom_node.destination_section import Destination
from dicom_node.domain.delivery import DeliveryEvent, Outcome, outcome_of
from dicom_node.domain.offers import class_words
from dicom_node.errors import ArchiveError, NothingAccepted
from dicom_node.push import Line, WireError, dataset_of, held
from dicom_node.store.archive import Archive
from dicom_node.store.deliveries import Parcel

_SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


class DicomCarrier:
    """One destination's association: opened when it is needed, released when it has been idle."""

    def __init__(self, destination: Destination, calling_ae: str, archive: Archive) -> None:
        self._destination = destination
        self._calling_ae = calling_ae
        self._archive = archive
        self._assoc: Association | None = None
        self._open = ExitStack()
        self._hold = ExitStack()
        self._line: Line | None = None
        self._proposed: frozenset[str] = frozenset()
        self._used_at = 0.0

    def open(self, sop_classes: Collection[str]) -> bool:
        """Have an association on which these classes were proposed; whether it is a new one.

        Raises
        ------
        PeerError
            When the peer cannot be reached or refuses; ``NothingAccepted`` when it takes none.

        """
        wanted = frozenset(sop_classes)
        if self.is_open and wanted <= self._proposed:
            return False
        self.close()
        # What was proposed once is proposed again: the next exam may need it.
        self._proposed |= wanted
        contexts = [
            build_context(sop_class, syntax)
            for sop_class in sorted(self._proposed)
            # A context each: a peer may take either, and our files are explicit VR little endian.
            for syntax in _SYNTAXES
        ]
        self._assoc = self._open.enter_context(
            association(self._destination, self._calling_ae, contexts)
        )
        if not any(self._accepted(sop_class) for sop_class in wanted):
            raise NothingAccepted(f"{self._destination.name}: takes none of what is to be sent")
        return True

    @property
    def is_open(self) -> bool:
        """Whether the next object can be sent."""
        return self._assoc is not None and self._assoc.is_established

    def send(self, parcel: Parcel) -> Outcome:
        """Send one object; call only while it is open."""
        assert self._assoc is not None  # noqa: S101 - see above
        accepted = self._accepted(parcel.sop_class_uid)
        if not accepted:
            return not_taken(parcel.sop_class_uid)
        try:
            content = self._archive.read(parcel.sha256)
            # A peer that knows only implicit VR gets the same data set written anew.
            syntax = next(one for one in _SYNTAXES if one in accepted)
            as_stored = syntax == ExplicitVRLittleEndian
            dataset = dataset_of(content) if as_stored else _implicit(content)
        except (ArchiveError, ValueError) as error:
            return Outcome(event=DeliveryEvent.TRANSIENT, status=None, reason=str(error))
        try:
            if self._line is None:
                self._line = self._hold.enter_context(held(self._assoc, ANSWER_S))
            answer = self._line.store(
                accepted[syntax], parcel.sop_class_uid, parcel.sop_instance_uid, dataset
            )
        except WireError as error:
            self._let_go()
            if self.is_open:
                self._assoc.abort()
            self.close()
            return Outcome(event=DeliveryEvent.NO_ANSWER, status=None, reason=str(error))
        self._used_at = time.monotonic()
        status = int(answer.Status) if "Status" in answer else None
        outcome = outcome_of(status, str(answer.get("ErrorComment") or ""))
        return not_taken(parcel.sop_class_uid, outcome) if outcome.not_taken else outcome

    def rest(self) -> None:
        """Nothing is to be sent now: release what was idle for too long."""
        self._let_go()  # pynetdicom shall notice it when the peer hangs up
        if time.monotonic() - self._used_at >= self._destination.keep_open_s:
            self.close()

    def _let_go(self) -> None:
        self._hold.close()
        self._line = None

    def close(self) -> None:
        """Release the association, if there is one."""
        self._let_go()
        self._open.close()
        self._assoc = None

    def probe(self) -> None:
        """Ask with one C-ECHO whether it is there; a ``PeerError`` says that it is not."""
        try:
            echo(self._destination, self._calling_ae)
        except NothingAccepted:
            return  # it takes associations, and no C-ECHO

    def _accepted(self, sop_class: str) -> dict[UID, int]:
        """Transfer syntaxes that the peer takes a class in, each with its context."""
        assert self._assoc is not None  # noqa: S101 - asked of open associations alone
        return {
            context.transfer_syntax[0]: context.context_id or 0
            for context in self._assoc.accepted_contexts
            if context.abstract_syntax == UID(sop_class)
        }


def _implicit(content: bytes) -> memoryview:
    """The same data set in implicit VR little endian; a ``ValueError`` when that cannot be."""
    encoded = encode(dcmread(BytesIO(content)), True, True)  # noqa: FBT003 - pynetdicom's signature
    if encoded is None:
        raise ValueError("cannot be written in implicit VR little endian, which the peer demands")
    return memoryview(encoded)


def not_taken(sop_class_uid: str, outcome: Outcome | None = None) -> Outcome:
    """The class is not taken: no presentation context for it, or the answer says so."""
    reason = f"does not take {class_words(sop_class_uid)}"
    if outcome is not None:
        return replace(outcome, reason=f"{reason}, {outcome.reason}")
    return Outcome(event=DeliveryEvent.REFUSAL, status=None, reason=reason, not_taken=True)
