"""What the trail says of events, as audit messages (PS3.15 A.5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

AT_ONCE = 50  # instances named by one message: it must fit into a datagram
SUCCESS, MINOR_FAILURE = "0", "4"
PERSONS = ("cli ", "web ", "page")  # beginnings of actors that are people

_ILLEGAL = re.compile("[\x00-\x1f\ud800-\udfff\ufffe\uffff]")
Code = tuple[str, str, str]
APPLICATION: Code = ("110100", "DCM", "Application Activity")
AUDIT_LOG_USED: Code = ("110101", "DCM", "Audit Log Used")
BEGIN: Code = ("110102", "DCM", "Begin Transferring DICOM Instances")
ACCESSED: Code = ("110103", "DCM", "DICOM Instances Accessed")
TRANSFERRED: Code = ("110104", "DCM", "DICOM Instances Transferred")
STUDY_DELETED: Code = ("110105", "DCM", "DICOM Study Deleted")
SECURITY_ALERT: Code = ("110113", "DCM", "Security Alert")
START: Code = ("110120", "DCM", "Application Start")
STOP: Code = ("110121", "DCM", "Application Stop")
NODE_AUTHENTICATION: Code = ("110126", "DCM", "Node Authentication")
SECURITY_CONFIGURATION: Code = ("110129", "DCM", "Security Configuration")
ROLE_APPLICATION: Code = ("110150", "DCM", "Application")
ROLE_LAUNCHER: Code = ("110151", "DCM", "Application Launcher")
ROLE_DESTINATION: Code = ("110152", "DCM", "Destination Role ID")
ROLE_SOURCE: Code = ("110153", "DCM", "Source Role ID")
STUDY_UID: Code = ("110180", "DCM", "Study Instance UID")
PATIENT_NUMBER: Code = ("2", "RFC-3881", "Patient Number")
URI: Code = ("12", "RFC-3881", "URI")

# Event, action, type and outcome of what happens to a subject; what is not listed has no message.
_MEANINGS: dict[tuple[str, str], tuple[Code, str, Code | None, str]] = {
    ("node", "started"): (APPLICATION, "E", START, SUCCESS),
    ("node", "stopped"): (APPLICATION, "E", STOP, SUCCESS),
    ("audit", "read"): (AUDIT_LOG_USED, "R", None, SUCCESS),
    ("audit", "forgotten"): (AUDIT_LOG_USED, "D", None, SUCCESS),
    ("instance", "received_new"): (TRANSFERRED, "C", None, SUCCESS),
    ("instance", "received_ignored"): (TRANSFERRED, "C", None, SUCCESS),
    ("instance", "received_conflict"): (TRANSFERRED, "U", None, SUCCESS),
    ("instance", "received_patient_mismatch"): (TRANSFERRED, "C", None, SUCCESS),
    ("delivery", "send"): (BEGIN, "E", None, SUCCESS),
    ("delivery", "success"): (TRANSFERRED, "C", None, SUCCESS),
    ("delivery", "refusal"): (TRANSFERRED, "C", None, MINOR_FAILURE),
    ("study", "images_removed"): (STUDY_DELETED, "D", None, SUCCESS),
    ("caller", "refused"): (SECURITY_ALERT, "E", NODE_AUTHENTICATION, MINOR_FAILURE),
    ("peer", "added"): (SECURITY_ALERT, "E", SECURITY_CONFIGURATION, SUCCESS),
    ("peer", "removed"): (SECURITY_ALERT, "E", SECURITY_CONFIGURATION, SUCCESS),
}
# What people do to an exam, by event: (PS3.15 A.5.3.3 knows C, R, U, D of instances).
_ACTS = {
    "created": "C", "requeued": "C", "sent_back": "R", "resend": "R", "withdrawn": "U",
    "cancel": "U", "given": "U",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One sealed event with what the ledger knows of its study and object."""

    position: int
    at: float
    subject: str
    subject_id: str
    event: str
    actor: str
    reason: str = ""
    study_instance_uid: str = ""
    patient_id: str = ""
    sop_class_uid: str = ""
    sop_instance_uid: str = ""

    @property
    def by_a_person(self) -> bool:
        """Whether somebody at a keyboard did it."""
        return self.actor.startswith(PERSONS)

    @property
    def other(self) -> str:
        """The other side of a transfer: a destination's name, or the title that called."""
        return self.subject_id.partition(" ")[2] if self.subject == "delivery" else self.actor


@dataclass(frozen=True, kw_only=True)
class House:
    """Who reports: this node."""

    source_id: str
    ae_titles: tuple[str, ...]
    host: str


@dataclass(frozen=True, kw_only=True)
class Message:
    """One audit message, and the last position of the trail that it tells of."""

    position: int
    at: float
    alert: bool
    xml: str


def meaning_of(entry: Entry) -> tuple[Code, str, Code | None, str] | None:
    """Event, action, type and outcome; ``None`` for what audit repositories are not told."""
    if entry.by_a_person and entry.event in _ACTS and entry.study_instance_uid:
        return ACCESSED, _ACTS[entry.event], None, SUCCESS
    return _MEANINGS.get((entry.subject, entry.event))


def messages(entries: Iterable[Entry], house: House) -> Iterator[Message]:
    """Messages of a stretch of the trail; what happens to one study alike is told at once."""
    groups: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        if meaning_of(entry) is not None:
            groups.setdefault(_together(entry), []).append(entry)
    for group in groups.values():
        for start in range(0, len(group), AT_ONCE):
            yield _message(group[start : start + AT_ONCE], house)


def _together(entry: Entry) -> tuple[object, ...]:
    alone = entry.position if not entry.study_instance_uid else 0
    return meaning_of(entry), entry.study_instance_uid, entry.other, entry.actor, alone


def _message(group: Sequence[Entry], house: House) -> Message:
    last = group[-1]
    meaning = meaning_of(last)
    assert meaning is not None  # noqa: S101 - others were left out
    event, action, kind, outcome = meaning
    root = ET.Element("AuditMessage")
    moment = datetime.fromtimestamp(last.at, tz=UTC).isoformat(timespec="milliseconds")
    identification = _add(
        root, "EventIdentification", EventActionCode=action, EventDateTime=moment,
        EventOutcomeIndicator=outcome,
    )  # fmt: skip
    _code(identification, "EventID", event)
    if kind is not None:
        _code(identification, "EventTypeCode", kind)
    if outcome != SUCCESS and last.reason:
        _add(identification, "EventOutcomeDescription").text = plain(last.reason)
    for participant in _participants(last, event, house):
        participant.attach(root)
    source = _add(root, "AuditSourceIdentification", AuditSourceID=house.source_id)
    _add(source, "AuditSourceTypeCode", **{"csd-code": "4"})  # application server
    _objects(root, group, event)
    xml = ET.tostring(root, encoding="unicode")
    return Message(position=last.position, at=last.at, alert=event == SECURITY_ALERT, xml=xml)


@dataclass(frozen=True, kw_only=True)
class _Participant:
    user: str
    asks: bool
    role: Code | None = None
    address: str = ""
    others: str = ""
    name: str = ""

    def attach(self, root: ET.Element) -> None:
        """As an ActiveParticipant (PS3.15 A.5.2)."""
        given = {
            "AlternativeUserID": self.others, "UserName": self.name,
            "NetworkAccessPointID": self.address,
            "NetworkAccessPointTypeCode": _kind_of(self.address) if self.address else "",
        }  # fmt: skip
        element = _add(
            root, "ActiveParticipant", UserID=self.user,
            UserIsRequestor="true" if self.asks else "false",
            **{name: value for name, value in given.items() if value},
        )  # fmt: skip
        if self.role is not None:
            _code(element, "RoleIDCode", self.role)


def _participants(entry: Entry, event: Code, house: House) -> list[_Participant]:
    titles = f"AETITLES={';'.join(house.ae_titles)}"
    us = _Participant(user=house.ae_titles[0], asks=False, others=titles, address=house.host)
    if event == APPLICATION:
        launcher = _Participant(user=entry.actor, asks=True, role=ROLE_LAUNCHER)
        return [replace(us, role=ROLE_APPLICATION), launcher]
    if event in {BEGIN, TRANSFERRED} and not entry.by_a_person:
        sent = entry.subject == "delivery"
        them = _Participant(user=entry.other, asks=not sent)
        us = replace(us, asks=sent)
        source, target = (us, them) if sent else (them, us)
        return [replace(source, role=ROLE_SOURCE), replace(target, role=ROLE_DESTINATION)]
    if entry.subject == "caller":
        title, _, address = entry.subject_id.rpartition(" ")
        return [_Participant(user=title or "unknown", asks=True, address=address), us]
    return [_Participant(user=entry.actor, asks=True), us]


def _objects(root: ET.Element, group: Sequence[Entry], event: Code) -> None:
    last = group[-1]
    if last.study_instance_uid:
        study = _object(root, last.study_instance_uid, STUDY_UID, "2", "3", "study")
        if any(entry.sop_class_uid for entry in group):
            description = _add(study, "ParticipantObjectDescription")
            _classes(description, group)
        if last.patient_id:
            # A.5 asks for the Patient ID; the name is optional there, and left out.
            _object(root, last.patient_id, PATIENT_NUMBER, "1", "1", "")
    elif event == AUDIT_LOG_USED:
        # PS3.15 A.5.3.2: the object is the log itself.
        _object(root, "events", URI, "2", "13", "Security Audit Log")
    elif last.subject == "peer":
        _object(root, last.subject_id, URI, "2", "13", "peer")


def _classes(description: ET.Element, group: Sequence[Entry]) -> None:
    classes: dict[str, dict[str, None]] = {}
    for entry in group:
        if entry.sop_class_uid:
            classes.setdefault(entry.sop_class_uid, {})[entry.sop_instance_uid] = None
    for uid, instances in classes.items():
        element = _add(description, "SOPClass", UID=uid, NumberOfInstances=str(len(instances)))
        for instance in instances:
            _add(element, "Instance", UID=instance)


def _object(
    root: ET.Element, key: str, kind: Code, type_code: str, role: str, name: str
) -> ET.Element:
    element = _add(
        root, "ParticipantObjectIdentification", ParticipantObjectID=key,
        ParticipantObjectTypeCode=type_code, ParticipantObjectTypeCodeRole=role,
    )  # fmt: skip
    _code(element, "ParticipantObjectIDTypeCode", kind)
    _add(element, "ParticipantObjectName").text = name
    return element


def _add(parent: ET.Element, name: str, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, name, {key: plain(value) for key, value in attributes.items()})


def _code(parent: ET.Element, name: str, code: Code) -> None:
    value, scheme, words = code
    given = {"csd-code": value, "codeSystemName": scheme, "originalText": words}
    ET.SubElement(parent, name, {**given, "displayName": words})


def _kind_of(address: str) -> str:
    """IP address or machine name (PS3.15 A.5.1)."""
    return "2" if ":" in address or address.replace(".", "").isdigit() else "1"


def plain(text: str) -> str:
    """Text without the characters that no XML document may hold (XML 1.0, 2.2)."""
    return _ILLEGAL.sub("?", text)
