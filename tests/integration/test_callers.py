"""Associations of real peers in the log: accepted, rejected, broken, with the advice."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
)
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification
from sqlalchemy import update

from dicom_node.store import tables as t
from dicom_node.visits import plain
from tests.commands import run_command
from tests.integration.databases import let_pass
from tests.integration.door import MG, MakeDoor
from tests.peers import wait_until
from tests.web_browser import Browser


def test_a_visit_is_in_the_log_with_what_was_agreed(make_door: MakeDoor) -> None:
    door = make_door()
    ae = AE(ae_title="MODALITY")
    ae.add_requested_context(Verification)
    ae.add_requested_context(MG, ExplicitVRLittleEndian)
    ae.add_requested_context("1.2.840.10008.5.1.4.1.1.481.5", ExplicitVRLittleEndian)
    assoc = ae.associate("127.0.0.1", door.settings.port, ae_title="FAPS")
    wait_until(door.hospital.ledger.associations.newest, "the association to be opened")
    assert door.hospital.ledger.associations.newest()[0]["closed_at"] is None
    assert door.hospital.ledger.associations.counts() == {"open": 1}
    assoc.release()
    row = door.row()
    assert (row["calling_ae"], row["called_ae"]) == ("MODALITY", "FAPS")
    assert (row["address"], row["ending"], row["code"]) == ("127.0.0.1", "released", "nothing_sent")
    by_class = {uid: group for group in row["contexts"] for uid in group.classes}
    assert by_class[str(MG)].accepted == ExplicitVRLittleEndian
    assert by_class["1.2.840.10008.5.1.4.1.1.481.5"].result == 3


def test_a_wrong_called_title_is_in_the_log_with_the_right_one(make_door: MakeDoor) -> None:
    door = make_door()
    assert door.call(called="FAPS2").is_rejected
    row = door.row()
    assert (row["ending"], row["code"], row["called_ae"]) == ("rejected", "called_ae", "FAPS2")
    assert "It calls FAPS2, this node is FAPS" in row["advice"]
    assert row["contexts"][0].result == -1


def test_one_association_too_many_is_in_the_log(make_door: MakeDoor) -> None:
    door = make_door(max_associations=1)
    first = door.call()
    assert door.call(calling="SECOND").is_rejected
    wait_until(lambda: len(door.hospital.ledger.associations.newest()) > 1, "the second")
    row = door.hospital.ledger.associations.newest()[0]
    assert (row["calling_ae"], row["code"]) == ("SECOND", "too_many")
    first.release()


def test_no_common_syntax_names_what_was_offered(make_door: MakeDoor) -> None:
    door = make_door()
    door.call(syntax=JPEGBaseline8Bit)
    row = door.row()
    assert row["code"] == "no_context"
    assert "JPEG Baseline" in row["advice"]


@pytest.mark.parametrize(
    ("end", "ending"),
    [
        (lambda assoc: assoc.abort(), "aborted"),
        (lambda assoc: assoc.dul.socket.socket.close(), "connection lost"),
    ],
    ids=["abort", "cut"],
)
def test_how_a_peer_went_is_told_apart(
    make_door: MakeDoor, end: Callable[[Association], None], ending: str
) -> None:
    door = make_door()
    end(door.call())
    assert door.row()["ending"] == ending


def test_silence_is_told_apart_from_a_peer_that_aborts(make_door: MakeDoor) -> None:
    door = make_door(idle_s=0.3)
    door.call()
    row = door.row()
    assert row["ending"] == "idle"
    assert "Silent for 0.3 s" in row["advice"]


def test_closing_the_port_is_not_blamed_on_the_peer(make_door: MakeDoor) -> None:
    door = make_door()
    door.call()
    for assoc in door.port._servers[0].active_associations:
        assoc.abort()
    assert door.row()["ending"] == "ended by the node"


def test_a_hostile_title_is_harmless_in_the_log() -> None:
    assert plain(" GE\x00\x1b[31m" + "x" * 40) == "GE??[31mxxxxxxxx"


def test_command_page_and_metrics_show_the_log(make_door: MakeDoor) -> None:
    door = make_door()
    door.call(called="<b>FAPS2</b>")
    door.row()
    config = door.hospital.folder / "node.json"
    config.write_text(json.dumps({"storage": {"data_dir": str(door.hospital.folder)}}))
    told = run_command("associations", "--failed", "--config", str(config))
    assert told.exit_code == 0, told.output
    assert "rejected" in told.output
    browser = Browser(door.hospital)
    page = browser.page("/associations")
    assert "It calls <b>FAPS2</b>, this node is FAPS" in page.text
    assert "Digital Mammography X-Ray Image Storage" in page.text
    assert browser.get("/associations/now").status_code == 200
    metrics = browser.get("/metrics").text
    assert 'faps_node_associations{ending="rejected"} 1.0' in metrics
    assert 'faps_node_associations{ending="idle"} 0.0' in metrics


def test_an_end_that_was_never_written_is_made_up_for(make_door: MakeDoor) -> None:
    """The database was away when the sender hung up: its exam must not wait for it for ever."""
    door = make_door()
    ledger = door.hospital.ledger
    door.call(calling="GONE").release()
    door.row()
    with ledger.database.write() as connection:
        connection.execute(update(t.associations).values(closed_at=None, ending=None))
    here = door.call(calling="HERE")
    wait_until(lambda: len(ledger.associations.newest()) == 2, "the second association")
    door.callers.tick()
    assert ledger.associations.counts() == {"open": 2}, "one that began just now is left alone"
    let_pass(ledger.database, 60)
    door.callers.tick()
    ended = {row["calling_ae"]: row["ending"] for row in ledger.associations.newest()}
    assert ended == {"GONE": "node restarted", "HERE": None}
    here.release()
