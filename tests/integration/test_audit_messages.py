"""What happens is told as PS3.15 A.5 has it, by the grammar written from A.5.1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from lxml import etree

from dicom_node.domain.association import Diagnosis, End, Ending, Refusal, Visit
from dicom_node.domain.audit import AT_ONCE, Entry, House, messages
from dicom_node.domain.delivery import outcome_of
from dicom_node.domain.peer import ALL, Peer
from dicom_node.domain.rejection import Reason
from dicom_node.store.ledger import Ledger
from tests.headers import STUDY
from tests.integration.ledger_acts import PACS, analysed, send

HOUSE = House(source_id="faps-1", ae_titles=("FAPS", "FAPS_TEST"), host="node.example")
GRAMMAR = etree.RelaxNG(etree.parse(Path(__file__).with_name("audit_message.rng")))
BEGIN, ACCESSED, TRANSFERRED, ALERT = "110102", "110103", "110104", "110113"


def told(entries: Sequence[Entry]) -> list[etree._Element]:
    """Every message, each valid by the grammar."""
    trees = [etree.fromstring(message.xml) for message in messages(entries, HOUSE)]
    for tree in trees:
        GRAMMAR.assertValid(tree)
    return trees


def of_ledger(ledger: Ledger) -> list[etree._Element]:
    while ledger.chain.seal():
        continue
    return told(ledger.trail.waiting(10_000))


def code(tree: etree._Element, element: str = "EventID") -> str:
    return str(tree.find(f"EventIdentification/{element}").get("csd-code"))


def only(trees: list[etree._Element], event: str) -> list[etree._Element]:
    return [tree for tree in trees if code(tree) == event]


def objects(tree: etree._Element) -> dict[str, str]:
    """Participant objects by the code of what identifies them."""
    found = tree.findall("ParticipantObjectIdentification")
    return {
        one.find("ParticipantObjectIDTypeCode").get("csd-code"): one.get("ParticipantObjectID")
        for one in found
    }


def roles(tree: etree._Element) -> dict[str, str]:
    found = tree.findall("ActiveParticipant")
    return {one.find("RoleIDCode").get("csd-code"): one.get("UserID") for one in found}


def test_an_exam_that_comes_and_goes_is_told_with_study_and_patient(ledger: Ledger) -> None:
    job_id = analysed(ledger)
    ledger.deliveries.plan([PACS])
    for parcel in ledger.deliveries.due("pacs"):
        send(ledger, parcel, outcome_of(0))
    ledger.deliveries.resend(job_id, None, "cli ada")
    trees = of_ledger(ledger)
    received, sent = only(trees, TRANSFERRED)
    assert objects(received) == objects(sent) == {"110180": STUDY, "2": "P-1"}
    assert roles(received) == {"110153": "MODALITY", "110152": "FAPS"}
    assert roles(sent) == {"110153": "FAPS", "110152": "pacs"}
    (mammograms,) = received.iter("SOPClass")
    assert (mammograms.get("NumberOfInstances"), len(mammograms)) == ("4", 4)
    assert [len(one) for one in sent.iter("SOPClass")] == [1, 1]
    (begun,) = only(trees, BEGIN)
    assert roles(begun) == roles(sent)
    (resent,) = only(trees, ACCESSED)
    assert resent.find("ActiveParticipant").get("UserID") == "cli ada"


def test_start_and_stop_are_told(ledger: Ledger) -> None:
    for event in ("started", "stopped"):
        ledger.trail.note("node", "FAPS", event, "host/boot/1/2")
    trees = of_ledger(ledger)
    assert [code(tree, "EventTypeCode") for tree in trees] == ["110120", "110121"]
    assert roles(trees[0]) == {"110150": "FAPS", "110151": "host/boot/1/2"}


def test_a_refused_caller_is_told_of_once_a_minute(ledger: Ledger) -> None:
    visit = Visit(called_ae="FAPS", calling_ae="STRANGER", address="192.0.2.7")
    end = End(ending=Ending.REJECTED, complaint="not listed", refusal=Refusal.CALLER)
    why = Diagnosis(code=Refusal.CALLER.value, advice="Add it")
    for _ in range(3):
        ledger.associations.reject(visit, end, why)
    busy = Diagnosis(code=Refusal.TOO_MANY.value, advice="Wait")
    ledger.associations.reject(visit, End(ending=Ending.REJECTED), busy)
    (alert,) = of_ledger(ledger)
    assert (code(alert), code(alert, "EventTypeCode")) == (ALERT, "110126")
    stranger = alert.find("ActiveParticipant")
    assert stranger.get("UserID") == "STRANGER"
    assert stranger.get("NetworkAccessPointID") == "192.0.2.7"
    assert stranger.get("NetworkAccessPointTypeCode") == "2"


def test_peers_that_people_add_and_remove_are_told(ledger: Ledger) -> None:
    peer = Peer(
        name="ct", ae_title="CT", address="", called_ae=(), services=ALL, note="", source=""
    )
    ledger.peers.add(peer, "cli ada")
    ledger.peers.remove("ct", "cli bob")
    trees = of_ledger(ledger)
    assert [code(tree, "EventTypeCode") for tree in trees] == ["110129", "110129"]
    users = [tree.find("ActiveParticipant").get("UserID") for tree in trees]
    assert users == ["cli ada", "cli bob"]


def test_results_that_a_person_takes_back_are_told(ledger: Ledger) -> None:
    analysed(ledger)
    ledger.deliveries.plan([PACS])
    ledger.withdrawals.withdraw(STUDY, Reason.QUALITY, "", "cli ada")
    acts = only(of_ledger(ledger), ACCESSED)
    assert {tree.find("EventIdentification").get("EventActionCode") for tree in acts} == {"U"}


def test_a_look_at_the_trail_is_told(ledger: Ledger) -> None:
    ledger.trail.note("audit", "list", "read", "cli ada")
    (used,) = of_ledger(ledger)
    assert code(used) == "110101"
    assert objects(used) == {"12": "events"}


@pytest.mark.parametrize("event", ["images_removed", "refusal"])
def test_deleted_studies_and_refused_objects_are_told(event: str) -> None:
    subject = {"images_removed": "study", "refusal": "delivery"}[event]
    entry = _entry(1, subject=subject, subject_id="7 pacs", event=event, reason="why & <how>\x00")
    (tree,) = told([entry])
    assert code(tree) == {"images_removed": "110105", "refusal": TRANSFERRED}[event]
    why = tree.findtext("EventIdentification/EventOutcomeDescription")
    assert why == {"images_removed": None, "refusal": "why & <how>?"}[event]


def test_many_instances_are_told_in_messages_that_fit_into_a_datagram() -> None:
    entries = [_entry(n, sop_instance_uid="2.25." + "9" * 55 + str(n)) for n in range(120)]
    trees = told(entries)
    assert [len(list(tree.iter("Instance"))) for tree in trees] == [AT_ONCE, AT_ONCE, 20]
    assert max(len(message.xml) for message in messages(entries, HOUSE)) < 8192


def test_characters_that_no_document_may_hold_are_replaced() -> None:
    (tree,) = told([_entry(1, patient_id="P\x00\x1b\ud800<&'\"\u00e4")])
    assert objects(tree)["2"] == "P???<&'\"\u00e4"


def _entry(position: int, **values: object) -> Entry:
    given: dict[str, object] = {
        "at": 1.7e9, "subject": "instance", "subject_id": "1.2.3", "event": "received_new",
        "actor": "MODALITY", "study_instance_uid": STUDY, "patient_id": "P-1",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.2", "sop_instance_uid": "1.2.3",
    }  # fmt: skip
    return Entry(position=position, **{**given, **values})  # type: ignore[arg-type]
