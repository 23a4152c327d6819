"""The association doctor: how a peer's visit went, and in words what to do when it went badly."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pydicom.uid import UID

from dicom_node.domain.certificate import Shown
from dicom_node.domain.dimse import UNCOMPRESSED, class_name

_SHOWN = 3  # names in one sentence
UNANSWERED = -1  # of a presentation context, where the whole association was rejected
_TRANSFER_SYNTAXES_NOT_SUPPORTED = 4  # PS3.8 Table 9-18, Result/Reason of a presentation context


class Ending(enum.Enum):
    """How an association ended."""

    RELEASED = "released"
    REJECTED = "rejected"
    ABORTED = "aborted"  # by the peer
    LOST = "connection lost"
    IDLE = "idle"
    LIMIT = "over a limit"
    BREACH = "protocol broken"
    ENDED_HERE = "ended by the node"
    RESTARTED = "node restarted"


class Refusal(enum.Enum):
    """Why an association was rejected."""

    CALLED_AE = "called_ae"
    CALLER = "caller"
    ADDRESS = "address"
    CALLED_BY_PEER = "called_by_peer"
    CERTIFICATE = "certificate"
    TOO_MANY = "too_many"
    CLOSED = "closed"  # before it said who it is
    OTHER = "other"


# What an administrator can change by adding a peer.
STRANGERS = (Refusal.CALLER, Refusal.ADDRESS, Refusal.CALLED_BY_PEER, Refusal.CERTIFICATE)


@dataclass(frozen=True, kw_only=True)
class Contexts:
    """Presentation contexts of one visit that share syntaxes and answer."""

    classes: tuple[str, ...]  # SOP Class UIDs
    syntaxes: tuple[str, ...]  # Transfer Syntax UIDs, as proposed
    result: int  # PS3.8 Table 9-18: 0 acceptance, 3 abstract syntax, 4 transfer syntaxes
    accepted: str = ""  # Transfer Syntax UID


@dataclass(frozen=True, kw_only=True)
class Visit:
    """Who came, whom it called, what it proposed and what was answered."""

    called_ae: str
    calling_ae: str
    address: str
    contexts: tuple[Contexts, ...] = ()
    peer: str = ""  # name of the peer that it was taken for
    tls: str = ""  # protocol version, such as TLSv1.3; empty: without TLS
    shown: Shown | None = None


@dataclass(frozen=True, kw_only=True)
class End:
    """What came of it."""

    ending: Ending
    objects: int = 0
    size: int = 0
    refused: int = 0  # C-STORE requests that were answered with a failure
    complaint: str = ""  # the last of these answers, or why the association was rejected
    refusal: Refusal | None = None


@dataclass(frozen=True, kw_only=True)
class House:
    """What of the settings the advice speaks of."""

    titles: tuple[str, ...] = ("FAPS",)
    idle_s: float = 60.0


@dataclass(frozen=True)
class Diagnosis:
    """``code`` is empty when all went well."""

    code: str = ""
    advice: str = ""


@dataclass(eq=False)
class Entry:
    """An association's row in the log; without a number until it is written."""

    id: int | None = None


@dataclass
class Tally:
    """What is counted while an association is open."""

    association_id: Entry | None = None
    visit: Visit = field(default_factory=lambda: Visit(called_ae="", calling_ae="", address=""))
    objects: int = 0
    bytes: int = 0
    refused: int = 0
    complaint: str = ""
    aborted_by_peer: bool = False

    def refuse(self, status: int, words: str) -> None:
        """Count an object that was answered with a failure (PS3.7 Annex C)."""
        self.refused += 1
        self.complaint = f"{status:04X} {words}".strip()

    def end(self, ending: Ending) -> End:
        """The counts as they stand now, with how it ended."""
        return End(
            ending=ending,
            objects=self.objects,
            size=self.bytes,
            refused=self.refused,
            complaint=self.complaint,
        )


def diagnose(visit: Visit, end: End, house: House) -> Diagnosis:
    """What went wrong and what to do about it; empty when nothing did."""
    if end.ending in {Ending.LIMIT, Ending.BREACH}:
        return Diagnosis(end.ending.name.lower(), _ended_for_cause(end))
    if end.ending is Ending.REJECTED:
        refusal = end.refusal or Refusal.OTHER
        return Diagnosis(refusal.value, _rejected(visit, end, refusal, house))
    if visit.contexts and all(group.result for group in visit.contexts):
        return Diagnosis("no_context", _nothing_taken(visit))
    if end.refused:
        done = f"{_objects(end.refused)} answered with a failure, the last: {end.complaint}."
        return Diagnosis("objects_refused", f"{done} {_STATUS}")
    if end.ending is not Ending.RELEASED:
        return Diagnosis(end.ending.name.lower(), _broken(visit, end, house))
    return Diagnosis() if end.objects else _empty_handed(visit)


_STATUS = (
    "After A700 the sender tries again by itself: look at disk and database here. "
    "After A900 or C0xx the object is damaged: send it again from its origin."
)
_NOTHING_SENT = (
    "It came, could have sent images and sent none: a test of the connection, or the sender's "
    "own log says why."
)


def _rejected(visit: Visit, end: End, refusal: Refusal, house: House) -> str:
    if refusal is Refusal.CALLED_AE:
        ours = " or ".join(house.titles)
        return (
            f"It calls {visit.called_ae or 'nobody'}, this node is {ours}: change the called AE "
            "title at the sender, or listener.ae_title here."
        )
    if refusal is Refusal.TOO_MANY:
        return (
            f"{end.complaint}. The sender tries again later; look for one that never closes its "
            "associations."
        )
    if refusal is Refusal.CLOSED:
        return f"{end.complaint}. The connection was closed; told once a minute for an address."
    if refusal is Refusal.CERTIFICATE and visit.shown is None:
        return (
            f"{end.complaint}. Let the sender call the TLS port and show its certificate, or take "
            "the demand out of the peer's entry."
        )
    if refusal in STRANGERS:
        words = end.complaint or "It is not on the list of peers"
        return f"{words}. If it may come in: {_addition(visit, refusal)}"
    return f"{end.complaint or 'Rejected'}. See the node's log at this time."


def _addition(visit: Visit, refusal: Refusal) -> str:
    """The command that lets a caller in, bound to the certificate that it showed."""
    if not visit.calling_ae:
        return "dicom-node peers add"
    command = f"dicom-node peers add {visit.calling_ae}@{visit.address}"
    if visit.shown is None:
        return command
    command += f" --certificate sha256:{visit.shown.fingerprint}"
    if refusal is Refusal.CERTIFICATE:  # the short name is taken by the other certificate
        command += f" --name {visit.calling_ae}-{visit.shown.fingerprint[:6]}"
    return command


def _nothing_taken(visit: Visit) -> str:
    unread = _unread(visit)
    if unread:
        return _no_syntax(unread)
    names = _some(class_name(uid) for group in visit.contexts for uid in group.classes)
    return (
        f"Nothing that it proposed is taken here: {names}. Send mammograms and what comes with "
        "them; look at the peer's services if it is on the list of peers."
    )


def _unread(visit: Visit) -> list[Contexts]:
    """Contexts of classes of which no other context was accepted, for their syntaxes' sake."""
    taken = {uid for group in visit.contexts if not group.result for uid in group.classes}
    return [
        group
        for group in visit.contexts
        if group.result == _TRANSFER_SYNTAXES_NOT_SUPPORTED and not taken.issuperset(group.classes)
    ]


def _no_syntax(groups: Sequence[Contexts]) -> str:
    names = _some(class_name(uid) for group in groups for uid in group.classes)
    offered = _some(UID(uid).name for group in groups for uid in group.syntaxes)
    return (
        f"No common transfer syntax for {names}: it offers only {offered}. Let the sender offer "
        f"{UID(UNCOMPRESSED[0]).name} or any lossless syntax; lossy and deflated ones are not "
        "taken."
    )


def _empty_handed(visit: Visit) -> Diagnosis:
    """Of a visit that ended well and brought nothing; C-ECHO alone is no such visit."""
    unread = _unread(visit)
    if unread:
        return Diagnosis("no_syntax", _no_syntax(unread))
    return Diagnosis("nothing_sent", _NOTHING_SENT) if _offers_storage(visit) else Diagnosis()


def _broken(visit: Visit, end: End, house: House) -> str:
    after = f"after {_objects(end.objects)}"
    if end.ending is Ending.IDLE:
        return (
            f"Silent for {house.idle_s:g} s {after}, so the node ended it. The sender opens "
            "another one when it has more; if it cannot, set listener.idle_s higher."
        )
    if end.ending is Ending.ABORTED:
        unread = _unread(visit)
        why = f" {_no_syntax(unread)}" if unread else ""
        return f"The sender aborted {after}: its own log says why, often a time limit.{why}"
    if end.ending is Ending.LOST:
        return (
            f"The connection broke {after}: network, a firewall's time limit, or the sender "
            "ended. What was not answered, the sender has to send again."
        )
    return f"The node ended it {after}; the sender has to send the rest again."


def _ended_for_cause(end: End) -> str:
    """Of an association that the node had to abort; the complaint names limit, value, setting."""
    advice = (
        "set it higher if this sender is right to do so"
        if end.ending is Ending.LIMIT
        else "that is the sender's fault, or the network's: its maker has to mend it"
    )
    after = f"after {_objects(end.objects)}"
    return f"{end.complaint}. The node ended the association {after}; {advice}."


def _offers_storage(visit: Visit) -> bool:
    """Whether a context for something to keep was accepted."""
    return any(
        ".5.1.4.1.1." in uid
        for group in visit.contexts
        if not group.result
        for uid in group.classes
    )


def _objects(number: int) -> str:
    return f"{number} object{'' if number == 1 else 's'}"


def _some(names: Iterable[str]) -> str:
    """The first few different names."""
    different = list(dict.fromkeys(names))
    more = f" and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
    return ", ".join(different[:_SHOWN]) + more
