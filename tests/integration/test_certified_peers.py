"""Peers that must show a certificate: let in, refused, remembered with what they showed, added."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dicom_node.associate import echo
from dicom_node.domain.peer import Peer
from dicom_node.errors import PeerError
from dicom_node.store.ledger import Ledger
from tests.authority import Authority, Identity
from tests.commands import run_command
from tests.integration.door import Door, MakeDoor
from tests.integration.tls_door import caller, secure_door
from tests.peers import wait_until
from tests.web_browser import Browser

HERE = {"name": "mammo", "ae_title": "MAMMO", "address": "127.0.0.0/8"}
NAME = "mammo-1.clinic.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def node(authority: Authority) -> Identity:
    return authority.issue("node", "localhost")


@pytest.fixture(scope="module")
def mammo(authority: Authority) -> Identity:
    return authority.issue("mammo", NAME)


@pytest.fixture(scope="module")
def other(authority: Authority) -> Identity:
    return authority.issue("other", "ct-2.clinic.example")


def the_stranger(door: Door, times: int = 1) -> dict[str, Any]:
    strangers = door.hospital.ledger.associations.strangers
    wait_until(lambda: sum(row["times"] for row in strangers()) >= times, "refusals")
    (row,) = strangers()
    found: dict[str, Any] = row
    return found


def refused(door: Door, authority: Authority, own: Identity | None, title: str = "MAMMO") -> None:
    with pytest.raises(PeerError, match=r"Calling AE title not recogni[sz]ed"):
        echo(caller(door, authority, own), title)


@pytest.mark.parametrize("demand", [NAME, f"DNS:{NAME.upper()}", "fingerprint"])
def test_a_peer_comes_in_with_its_certificate(
    make_door: MakeDoor, authority: Authority, node: Identity, mammo: Identity, demand: str
) -> None:
    wanted = mammo.fingerprint.upper() if demand == "fingerprint" else demand
    door = secure_door(make_door, authority, node, peers=[HERE | {"certificate": wanted}])
    echo(caller(door, authority, mammo), "MAMMO")
    assert door.row()["peer"] == "mammo"


def test_a_peer_with_another_certificate_is_refused_and_told_apart(
    make_door: MakeDoor, authority: Authority, node: Identity, other: Identity
) -> None:
    door = secure_door(make_door, authority, node, peers=[HERE | {"certificate": NAME}])
    refused(door, authority, other)
    row = the_stranger(door)
    assert row["reason"] == (
        f"MAMMO must show the certificate {NAME}, and showed sha256:{other.fingerprint} "
        "(DNS:ct-2.clinic.example)"
    )
    assert (row["code"], row["certificate"]) == ("certificate", f"sha256:{other.fingerprint}")


def test_a_peer_that_must_show_a_certificate_cannot_come_in_plain(
    make_door: MakeDoor, authority: Authority, node: Identity
) -> None:
    peers = [HERE | {"certificate": NAME}]
    door = secure_door(make_door, authority, node, peers=peers, clients="optional")
    assert door.call(calling="MAMMO").is_rejected
    row = the_stranger(door)
    assert "came without TLS" in row["reason"]
    assert "Let the sender call the TLS port" in row["advice"]
    assert "Let it in" not in Browser(door.hospital).page("/associations").text
    refused(door, authority, None)
    row = the_stranger(door, times=2)
    assert (row["times"], "showed none" in row["reason"]) == (2, True)


def test_one_command_lets_in_what_was_seen_but_refused(
    make_door: MakeDoor, authority: Authority, node: Identity, other: Identity
) -> None:
    door = secure_door(make_door, authority, node, peers=[HERE | {"certificate": NAME}])
    refused(door, authority, other)
    refused(door, authority, other, "NEWCOMER")
    rows = wait_until(
        lambda: r if len(r := door.hospital.ledger.associations.strangers()) > 1 else None, "both"
    )
    config = door.hospital.folder / "node.json"
    config.write_text(json.dumps({"storage": {"data_dir": str(door.hospital.folder)}}))
    told = run_command("peers", "refused", "--config", str(config)).output
    assert f"showed sha256:{other.fingerprint}, DNS:ct-2.clinic.example" in told
    for row in rows:
        _, _, command = row["advice"].partition("If it may come in: dicom-node ")
        done = run_command(*command.split(), "--config", str(config))
        assert done.exit_code == 0, done.output
    for title in ("MAMMO", "NEWCOMER"):
        echo(caller(door, authority, other), title)
    assert door.call(calling="NEWCOMER").is_rejected  # it is bound to its certificate
    listed = run_command("peers", "list", "--config", str(config)).output
    assert "127.0.0.1" in listed
    assert "with" in listed


def test_the_page_lets_in_what_was_seen_with_the_certificate_that_it_showed(
    make_door: MakeDoor, authority: Authority, node: Identity, other: Identity
) -> None:
    door = secure_door(make_door, authority, node, peers=[HERE | {"certificate": NAME}])
    refused(door, authority, other)
    row = the_stranger(door)
    browser = Browser(door.hospital)
    assert "ct-2.clinic.example" in browser.page("/associations").text
    form = {"ae": "MAMMO", "address": "127.0.0.1"}
    assert browser.ask("POST", "/peers", data=form).status_code == 409
    form["certificate"] = row["certificate"]
    assert browser.ask("POST", "/peers", data=form).status_code == 303
    (peer,) = door.hospital.ledger.peers.all()
    assert peer.certificate == f"sha256:{other.fingerprint}"
    assert "Seen but refused" not in browser.page("/associations").text
    echo(caller(door, authority, other), "MAMMO")


def test_a_demand_comes_back_as_it_was(ledger: Ledger) -> None:
    peer = Peer(name="a", ae_title="A", certificate="sha256:" + "ab" * 32, source="cli me")
    ledger.peers.add(peer, "cli me")
    assert ledger.peers.all() == (peer,)
