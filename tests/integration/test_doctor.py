"""The doctor: each thing that is wrong is found and told with what to do, the rest is well."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from dicom_node.store.folder_lock import hold
from tests.authority import Authority, Identity
from tests.commands import run_command
from tests.integration.door import MakeDoor
from tests.integration.tls_door import files, secure_door
from tests.peers import free_port

Found = list[dict[str, str]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def node(authority: Authority) -> Identity:
    return authority.issue("node", "localhost")


def examine(folder: Path, *options: str, **settings: dict[str, Any] | list[Any]) -> tuple[int, str]:
    """The doctor's exit status and words on a node with these settings."""
    values: dict[str, Any] = {
        "storage": {"data_dir": str(folder / "data"), "free_min_gb": 0},
        "listener": {"port": free_port()},
        "web": {"port": free_port()},
    }
    for section, keys in settings.items():
        values[section] = {**values.get(section, {}), **keys} if isinstance(keys, dict) else keys
    config = folder / "node.json"
    config.write_text(json.dumps(values))
    done = run_command("doctor", "--config", str(config), *options)
    return done.exit_code, done.output


def findings(folder: Path, **settings: Any) -> Found:
    _, output = examine(folder, "--json", **settings)
    # The door of a test speaks in this process too.
    found: Found = json.loads(output[output.index("{\n") :])["findings"]
    return found


def the(found: Found, area: str, level: str) -> dict[str, str]:
    chosen = [one for one in found if (one["area"], one["level"]) == (area, level)]
    assert len(chosen) == 1, found
    return chosen[0]


def test_a_fresh_node_is_well_and_each_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    status, output = examine(tmp_path)
    assert status == 0, output
    assert "0 wrong" in output
    for words in ("is valid", "is writable, a sync takes", "GiB free", "is free for the node"):
        assert words in output


def test_settings_that_cannot_be_read_are_all_that_is_told(tmp_path: Path) -> None:
    status, output = examine(tmp_path, "--json", listener={"port": 0}, logs={"level": "loud"})
    found = json.loads(output)
    assert (status, found["wrong"]) == (1, 2)
    assert {one["area"] for one in found["findings"]} == {"settings"}


def test_a_folder_that_others_may_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    one = next(f for f in findings(tmp_path) if f["level"] == "warning" and "others" in f["words"])
    assert one["remedy"] == f"chmod 700 {tmp_path / 'data'}"


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    found = findings(tmp_path, storage={"free_min_gb": 1e6})
    assert "nothing is received below 1000000.0" in the(found, "disk", "wrong")["words"]


def test_a_database_that_does_not_answer_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://faps:secret@127.0.0.1:{free_port()}/faps"
    found = findings(tmp_path, storage={"ledger_url": url})
    assert "storage.ledger_url" in the(found, "database", "wrong")["remedy"]
    assert "secret" not in json.dumps(found)
    assert "clock" in {one["area"] for one in found}


def test_a_queue_that_does_not_answer_is_told_without_its_password(tmp_path: Path) -> None:
    port = free_port()
    found = findings(tmp_path, queue={"url": f"redis://:secret@127.0.0.1:{port}/0"})
    assert f"127.0.0.1:{port} does not answer" in the(found, "queue", "wrong")["words"]
    assert "secret" not in json.dumps(found)


def test_a_port_of_another_program_is_told(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        found = findings(tmp_path, listener={"port": port})
    one = the(found, "ports", "wrong")
    assert f"listener.port {port}" in one["words"]
    assert "stop the other program" in one["remedy"]


def test_destinations_are_called_over_tls_where_that_is_set(
    make_door: MakeDoor, authority: Authority, node: Identity, tmp_path: Path
) -> None:
    port = secure_door(make_door, authority, node).hospital.settings.tls.port
    there = {"ae_title": "FAPS", "tls": True, "port": port}
    good = there | {"name": "good", "host": "localhost"}
    bad = there | {"name": "bad", "host": "127.0.0.1"}
    tls = files(authority, authority.issue("us")) | {"port": 0}
    found = findings(tmp_path, tls=tls, destinations=[good, bad])
    assert "answers C-ECHO over TLS" in the(found, "destinations", "ok")["words"]
    assert "tls_check_host" in the(found, "destinations", "wrong")["remedy"]


def test_certificates_that_fit_are_told_with_their_time(
    authority: Authority, node: Identity, tmp_path: Path
) -> None:
    found = findings(tmp_path, tls=files(authority, node) | {"port": free_port()})
    told = [one["words"] for one in found if one["area"] == "tls"]
    assert {one["level"] for one in found if one["area"] == "tls"} == {"ok"}
    for words in ("the key fits", "(CN=node) expires in 364 days", "the chain of our certificate"):
        assert any(words in one for one in told), told


def test_certificates_that_are_wrong_are_told_with_what_to_do(
    authority: Authority, node: Identity, tmp_path: Path
) -> None:
    old = authority.issue("old", days=-2, since=-90)
    old.key.chmod(0o644)
    found = findings(tmp_path, tls=files(authority, old) | {"port": free_port()})
    assert "expired 2 days ago" in the(found, "tls", "wrong")["words"]
    assert the(found, "tls", "warning")["remedy"] == f"chmod 600 {old.key}"
    mixed = Identity(old.certificate, node.key, "")
    found = findings(tmp_path, tls=files(authority, mixed) | {"port": free_port()})
    assert "is not the key of" in the(found, "tls", "wrong")["words"]


def test_a_chain_with_a_gap_and_a_demand_that_nobody_can_meet_are_told(
    node: Identity, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger", "somebody else")
    tls = {**files(stranger, node), "port": free_port()}
    found = findings(tmp_path, tls=tls)
    assert "CN=test authority" in the(found, "tls", "warning")["words"]
    peer = {"name": "p", "ae_title": "P", "certificate": "p.example"}
    found = findings(tmp_path, peers=[peer])
    assert "there is no port to show it at" in the(found, "tls", "wrong")["words"]


def test_a_running_port_that_shows_an_older_certificate_is_told(
    make_door: MakeDoor, authority: Authority, node: Identity, tmp_path: Path
) -> None:
    door = secure_door(make_door, authority, node)
    running = door.hospital.settings
    listener = {"port": running.listener.port}
    (tmp_path / "data").mkdir(exist_ok=True)
    with hold(tmp_path / "data", "node"):
        tls = files(authority, node) | {"port": running.tls.port}
        found = findings(tmp_path, listener=listener, tls=tls)
        assert "web.port" in the(found, "ports", "wrong")["words"]
        told = [one["words"] for one in found if (one["area"], one["level"]) == ("ports", "ok")]
        assert any("answers as FAPS" in words for words in told)
        assert any("shows the certificate of" in words for words in told)
        newer = authority.issue("newer", "localhost")
        tls = files(authority, newer) | {"port": running.tls.port}
        found = findings(tmp_path, listener=listener, tls=tls)
    assert "shows another certificate" in the(found, "ports", "warning")["words"]


@pytest.mark.parametrize(
    ("bundle", "level", "words"),
    [("faps-first", "ok", "as it was made"), ("nothing", "wrong", "is not there")],
)
def test_the_bundle_of_the_settings_is_looked_at(
    tmp_path: Path, repository: Path, bundle: str, level: str, words: str
) -> None:
    folder = repository / "worker" / "bundles" / bundle
    assert (
        words in the(findings(tmp_path, worker={"bundle": str(folder)}), "bundle", level)["words"]
    )
