"""Modalities that ask whether their images are kept (Storage Commitment as SCP)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DigitalMammographyXRayImageStorageForProcessing
from pynetdicom.sop_class import StorageCommitmentPushModel
from sqlalchemy import update

from dicom_node.domain.delivery import DELIVER_BY_S
from dicom_node.domain.dimse import PUSH_MODEL_INSTANCE
from dicom_node.domain.identifiers import derive_uid
from dicom_node.domain.peer import Peer
from dicom_node.store import service_tables as s
from dicom_node.vouch import Voucher
from tests.commands import run_command
from tests.integration.door import Door, MakeDoor
from tests.modality import Modality, picture, question, references
from tests.peers import wait_until
from tests.web_browser import Browser

TRANSACTION = derive_uid("transaction")
OTHER = derive_uid("never sent")


def row(door: Door) -> dict[str, object]:
    return door.hospital.ledger.promises.newest()[0]


def change(door: Door, **values: object) -> None:
    with door.hospital.ledger.database.write() as connection:
        connection.execute(update(s.promises).values(**values))


def let_go(door: Door) -> None:
    """Wait until the report is due on an association of our own."""
    wait_until(door.hospital.ledger.promises.due, "the report to be due", 15)


def known_at(door: Door, modality: Modality) -> None:
    """Somebody adds the modality's port while the node runs."""
    peer = Peer(name="mammo", ae_title=modality.ae_title, address="127.0.0.1", port=modality.port)
    door.hospital.ledger.peers.add(peer, "test")


def test_whoever_waits_gets_the_report_on_its_own_association(make_door: MakeDoor) -> None:
    door, images = make_door(), (picture("R"), picture("L"))
    modality = Modality(door.settings.port)
    modality.store(*images)
    modality.ask_and_wait(question(TRANSACTION, *references(*images)))
    assert modality.told() == (1, {uid for _, uid in references(*images)}, {})
    wait_until(lambda: row(door)["state"] == "reported", "the row", 15)
    assert (row(door)["committed"], row(door)["failed"]) == (2, 0)


def test_whoever_hung_up_is_called_back_at_its_port(make_door: MakeDoor) -> None:
    door, image = make_door(ae_titles={"FAPS_TEST": "test"}), picture()
    modality = Modality(door.settings.port)
    modality.store(image)
    modality.ask_and_hang_up(question(TRANSACTION, *references(image)))
    let_go(door)
    known_at(door, modality)
    with modality.listening():
        door.voucher.tick()
    assert modality.told() == (1, {str(image.SOPInstanceUID)}, {})
    assert modality.reports[0][2] == "FAPS"
    assert row(door)["state"] == "reported"
    assert door.voucher.tick() > 0
    assert len(modality.reports) == 1


def test_each_object_that_is_not_promised_has_its_reason(make_door: MakeDoor) -> None:
    door = make_door()
    kept, lost, damaged = picture("R"), picture("L"), picture("R", "MLO")
    modality = Modality(door.settings.port)
    modality.store(kept, lost, damaged)
    archive, promises = door.hospital.archive, door.hospital.ledger.promises
    files = {one.sop_instance_uid: archive.path(one.sha256) for one in promises.kept([
        str(lost.SOPInstanceUID), str(damaged.SOPInstanceUID)])}  # fmt: skip
    files[str(lost.SOPInstanceUID)].unlink()
    files[str(damaged.SOPInstanceUID)].write_bytes(b"something else")
    other_class = (str(DigitalMammographyXRayImageStorageForProcessing), str(kept.SOPInstanceUID))
    asked = [other_class, *references(lost, damaged), (str(kept.SOPClassUID), OTHER)]
    modality.ask_and_wait(question(TRANSACTION, *asked))
    assert modality.told() == (2, set(), {
        str(kept.SOPInstanceUID): 0x0119,
        str(lost.SOPInstanceUID): 0x0110,
        str(damaged.SOPInstanceUID): 0x0110,
        OTHER: 0x0112,
    })  # fmt: skip


def test_some_objects_may_be_promised_and_others_not(make_door: MakeDoor) -> None:
    door, image = make_door(), picture()
    modality = Modality(door.settings.port)
    modality.store(image)
    asked = [*references(image), (str(image.SOPClassUID), OTHER)]
    modality.ask_and_wait(question(TRANSACTION, *asked))
    assert modality.told() == (2, {str(image.SOPInstanceUID)}, {OTHER: 0x0112})


def test_a_transaction_uid_used_for_other_objects_promises_nothing(make_door: MakeDoor) -> None:
    door, images = make_door(), (picture("R"), picture("L"))
    modality = Modality(door.settings.port)
    modality.store(*images)
    modality.ask_and_wait(question(TRANSACTION, *references(images[0])))
    modality.ask_and_wait(question(TRANSACTION, *references(images[1])))
    assert modality.told() == (2, set(), {str(images[1].SOPInstanceUID): 0x0131})


def test_the_same_question_is_answered_again(make_door: MakeDoor) -> None:
    door, image = make_door(), picture()
    modality = Modality(door.settings.port)
    modality.ask_and_wait(question(TRANSACTION, *references(image)))
    assert modality.told()[2] == {str(image.SOPInstanceUID): 0x0112}
    modality.store(image)
    modality.ask_and_wait(question(TRANSACTION, *references(image)))
    assert modality.told()[1] == {str(image.SOPInstanceUID)}
    assert len(door.hospital.ledger.promises.newest()) == 1


def test_a_report_that_is_not_taken_is_sent_again_after_a_restart(make_door: MakeDoor) -> None:
    door, image = make_door(), picture()
    modality = Modality(door.settings.port)
    modality.store(image)
    modality.ask_and_hang_up(question(TRANSACTION, *references(image)))
    let_go(door)
    door.voucher.tick()
    assert row(door)["state"] == "asked"
    assert "no port is known to call MODALITY back" in str(row(door)["reason"])
    known_at(door, modality)
    modality.takes = [0x0110, 0x0000]
    with modality.listening():
        change(door, next_at=0)
        door.voucher.tick()
        assert "the report ended with 0x0110" in str(row(door)["reason"])
        change(door, next_at=0)
        hospital = door.hospital
        Voucher(hospital.archive, hospital.ledger, door.callers.guests).tick()
    assert (row(door)["state"], row(door)["attempts"]) == ("reported", 3)


def test_command_page_and_metrics_show_the_transactions(make_door: MakeDoor) -> None:
    door, image = make_door(), picture()
    modality = Modality(door.settings.port)
    modality.ask_and_wait(question(TRANSACTION, *references(image)))
    wait_until(lambda: row(door)["state"] == "reported", "the row", 15)
    config = door.hospital.folder / "node.json"
    config.write_text(json.dumps({"storage": {"data_dir": str(door.hospital.folder)}}))
    told = run_command("commitments", "--config", str(config))
    assert told.exit_code == 0, told.output
    assert "1 not" in told.output
    browser = Browser(door.hospital)
    assert "1 not kept" in browser.page("/associations").text
    assert 'faps_node_promises{state="reported"} 1.0' in browser.get("/metrics").text


def test_a_report_that_nobody_takes_is_given_up_for_all_to_see(make_door: MakeDoor) -> None:
    door, image = make_door(), picture()
    modality = Modality(door.settings.port)
    modality.ask_and_hang_up(question(TRANSACTION, *references(image)))
    let_go(door)
    change(door, asked_at=float(str(row(door)["asked_at"])) - DELIVER_BY_S)
    door.voucher.tick()
    assert row(door)["state"] == "given_up"
    assert door.hospital.ledger.promises.due() == []


@pytest.mark.parametrize(
    ("spoil", "instance", "action", "status"),
    [
        (lambda ds: ds.pop("TransactionUID"), PUSH_MODEL_INSTANCE, 1, 0x0115),
        (lambda ds: ds.pop("ReferencedSOPSequence"), PUSH_MODEL_INSTANCE, 1, 0x0115),
        (lambda _: None, PUSH_MODEL_INSTANCE, 2, 0x0123),
        (lambda _: None, "1.2.3", 1, 0x0112),
    ],
    ids=["no transaction", "no objects", "another action", "another instance"],
)
def test_a_question_that_is_none_is_refused(
    make_door: MakeDoor,
    spoil: Callable[[Dataset], object],
    instance: str,
    action: int,
    status: int,
) -> None:
    door = make_door()
    request = question(TRANSACTION, *references(picture()))
    spoil(request)
    with Modality(door.settings.port).calling() as assoc:
        answer, _ = assoc.send_n_action(request, action, StorageCommitmentPushModel, instance)
    assert answer.Status == status
    assert door.hospital.ledger.promises.newest() == []


def test_a_peer_without_the_service_may_not_ask(make_door: MakeDoor) -> None:
    peer = {"name": "mammo", "ae_title": "MODALITY", "services": ["store", "echo"]}
    door = make_door(peers=[peer])
    with Modality(door.settings.port).calling() as assoc:
        classes = {context.abstract_syntax for context in assoc.accepted_contexts}
    assert StorageCommitmentPushModel not in classes
