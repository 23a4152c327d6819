"""Peers at a real port: let in, refused, remembered, added by command and on the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from dicom_node.domain.association import Entry
from dicom_node.domain.peer import Peer, Service
from dicom_node.errors import ConfigurationError, LedgerError
from dicom_node.settings import load_settings
from dicom_node.store.ledger import Ledger
from tests.commands import run_command
from tests.headers import low_energy
from tests.integration.door import MG, Door, MakeDoor
from tests.integration.ledger_acts import receive
from tests.peers import wait_until
from tests.web_browser import Browser
from tests.web_builders import Hospital

HERE = {"name": "here", "ae_title": "MODALITY", "address": "127.0.0.0/8"}
ANYWHERE = {"name": "any", "ae_title": "SOMEBODY"}


def command(door: Door, *words: str, settings: dict[str, Any] | None = None) -> str:
    config = door.hospital.folder / "node.json"
    storage = {"storage": {"data_dir": str(door.hospital.folder)}}
    config.write_text(json.dumps(storage | (settings or {})))
    done = run_command(*words, "--config", str(config))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def refused(door: Door, number: int = 1) -> list[dict[str, Any]]:
    strangers = door.hospital.ledger.associations.strangers
    found: list[dict[str, Any]] = wait_until(
        lambda: strangers() if sum(r["times"] for r in strangers()) >= number else None, "refusals"
    )
    return found


def test_without_peers_everybody_comes_in(make_door: MakeDoor) -> None:
    door = make_door()
    door.call(calling="WHOEVER").release()
    assert door.row()["ending"] == "released"
    assert "Everyone may come in" in Browser(door.hospital).page("/associations").text


def test_with_peers_only_they_come_in_and_others_are_remembered(make_door: MakeDoor) -> None:
    door = make_door(peers=[HERE, ANYWHERE])
    known = door.call()
    assert known.is_established
    known.release()
    wait_until(
        lambda: door.hospital.ledger.associations.counts().get("released"), "the visit's end"
    )
    assert door.hospital.ledger.associations.newest()[0]["peer"] == "here"
    stranger = door.call(calling="GE_SENO2")
    assert stranger.is_rejected
    answer = stranger.acceptor.primitive
    assert answer is not None
    assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 3)
    (row,) = refused(door)
    assert "GE_SENO2 is not on the list of peers" in row["reason"]
    assert "dicom-node peers add GE_SENO2@127.0.0.1" in row["advice"]


def test_a_wrong_address_is_closed_at_once_and_told_once(make_door: MakeDoor) -> None:
    door = make_door(peers=[HERE | {"address": "10.0.3.7"}])
    for _ in range(3):
        assert not door.call().is_established
    (row,) = refused(door)
    assert (row["times"], row["calling_ae"]) == (1, "")
    assert "No peer may call from 127.0.0.1" in row["reason"]


def test_a_command_lets_a_refused_caller_in_while_the_node_runs(make_door: MakeDoor) -> None:
    door = make_door(peers=[HERE])
    assert door.call(calling="GE_SENO2").is_rejected
    refused(door)
    assert "dicom-node peers add GE_SENO2@127.0.0.1" in command(door, "peers", "refused")
    said = command(door, "peers", "add", "GE_SENO2@127.0.0.1", "--note", "room 4")
    assert "may come in from now on" in said
    assert "first on the list" in said  # of the settings that the command was given
    assert door.call(calling="GE_SENO2").is_established
    assert "GE_SENO2" in command(door, "peers", "list")
    with pytest.raises(LedgerError, match="is there already"):
        command(door, "peers", "add", "GE_SENO2")
    command(door, "peers", "remove", "GE_SENO2")
    assert door.call(calling="GE_SENO2").is_rejected
    with pytest.raises(LedgerError, match=r"node\.toml"):
        command(door, "peers", "remove", "GE_SENO2")


@pytest.mark.parametrize("who", ["", "TOO_LONG_A_TITLE_FOR_DICOM", "GE1@10.0.3"])
def test_a_peer_that_makes_no_sense_is_not_added(make_door: MakeDoor, who: str) -> None:
    door = make_door()
    with pytest.raises(ConfigurationError):
        command(door, "peers", "add", who)
    assert door.hospital.ledger.peers.all() == ()


def test_the_page_lets_a_refused_caller_in_and_nobody_else(make_door: MakeDoor) -> None:
    door = make_door(peers=[HERE])
    door.call(calling="GE_SENO2")
    refused(door)
    browser = Browser(door.hospital)
    assert "Seen but refused" in browser.page("/associations").text
    form = {"ae": "GE_SENO2", "address": "127.0.0.1"}
    strange = {"Sec-Fetch-Site": "cross-site"}
    assert browser.ask("POST", "/peers", data=form, headers=strange).status_code == 403
    assert browser.ask("POST", "/peers", data=form | {"ae": "OTHER"}).status_code == 409
    assert door.hospital.ledger.peers.all() == ()
    assert browser.ask("POST", "/peers", data=form).status_code == 303
    assert "Seen but refused" not in browser.page("/associations").text
    assert door.call(calling="GE_SENO2").is_established


def test_a_peer_does_only_what_it_may(make_door: MakeDoor) -> None:
    door = make_door(peers=[HERE | {"services": ["echo"]}])
    ae = AE(ae_title="MODALITY")
    ae.add_requested_context(Verification)
    ae.add_requested_context(MG)
    assoc = ae.associate("127.0.0.1", door.settings.port, ae_title="FAPS")
    assert [context.abstract_syntax for context in assoc.accepted_contexts] == [Verification]
    assert assoc.send_c_echo().Status == 0x0000
    assoc.release()


def test_further_titles_are_taken_and_a_peer_may_be_kept_to_one(make_door: MakeDoor) -> None:
    peers = [HERE | {"called_ae": ["FAPS_TEST"]}]
    door = make_door(peers=peers, ae_titles={"FAPS_TEST": "test"})
    assert door.call(called="FAPS_TEST").is_established
    assert door.call(called="FAPS").is_rejected
    assert "MODALITY may call FAPS_TEST only" in refused(door)[0]["reason"]
    assert door.call(called="OTHER").is_rejected


def test_destinations_may_call_back_to_confirm_and_no_more(make_door: MakeDoor) -> None:
    door = make_door(peers=[ANYWHERE])
    pacs = door.hospital.settings.destinations[0]
    (guest,) = [p for p in door.callers.guests.peers() if p.ae_title == pacs.ae_title]
    assert guest.services == (Service.ECHO, Service.COMMITMENT)


def test_peers_come_back_as_they_were(ledger: Ledger) -> None:
    peer = Peer(
        name="a", ae_title="A", address="10.0.0.0/8", called_ae=("FAPS",),
        services=(Service.STORE,), note="n", source="cli me",
    )  # fmt: skip
    ledger.peers.add(peer, "cli me")
    assert ledger.peers.all() == (peer,)


def test_a_study_remembers_which_title_it_was_sent_to(make_door: MakeDoor) -> None:
    door = make_door(ae_titles={"FAPS_TEST": "test"})
    door.call(called="FAPS_TEST").release()
    receive(door.hospital.ledger, low_energy(), association_id=Entry(door.row()["id"]))
    (line,) = door.hospital.ledger.overview.studies()
    assert line.called_ae == "FAPS_TEST"
    assert "to FAPS_TEST (test)" in Browser(door.hospital).page("/").text


@pytest.mark.parametrize(
    ("host", "peers", "warned"),
    [("0.0.0.0", [], True), ("127.0.0.1", [], False), ("0.0.0.0", [HERE], False)],
)
def test_the_first_page_warns_while_everybody_elsewhere_may_send(
    tmp_path: Path, host: str, peers: list[dict[str, str]], *, warned: bool
) -> None:
    hospital = Hospital(tmp_path / "data", extra={"listener": {"host": host}, "peers": peers})
    assert ("Everyone may send here" in Browser(hospital).page("/").text) is warned
    hospital.ledger.close()


def test_two_peers_have_two_names() -> None:
    with pytest.raises(ConfigurationError, match="two peers have the name 'here'"):
        load_settings(overrides={"peers": [HERE, HERE]})
