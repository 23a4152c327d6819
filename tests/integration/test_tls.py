"""TLS at a real port: who comes in, who is told what is wrong, and calls of our own."""

from __future__ import annotations

import shutil
import socket
import ssl
import warnings
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification

from dicom_node.associate import association, echo, peer
from dicom_node.errors import ConfigurationError, PeerError
from dicom_node.sections import Tls
from tests.authority import Authority, Identity
from tests.commands import run_command
from tests.integration.door import MG, Door, MakeDoor
from tests.integration.tls_door import caller, files, secure_door
from tests.peers import opens, wait_until
from tests.web_browser import Browser


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def node(authority: Authority) -> Identity:
    return authority.issue("node", "localhost")


@pytest.fixture(scope="module")
def mammo(authority: Authority) -> Identity:
    return authority.issue("mammo", "mammo-1.clinic.example")


def row(door: Door, code: str) -> dict[str, Any]:
    newest = door.hospital.ledger.associations.newest
    found: dict[str, Any] = wait_until(
        lambda: next((one for one in newest() if one["code"] == code), None), f"{code} in the log"
    )
    return found


def test_a_caller_with_a_certificate_comes_in_and_the_plain_port_stays_open(
    make_door: MakeDoor, authority: Authority, node: Identity, mammo: Identity
) -> None:
    door = secure_door(make_door, authority, node)
    echo(caller(door, authority, mammo), "MAMMO")
    door.call().release()
    rows = wait_until(
        lambda: r if len(r := door.hospital.ledger.associations.newest()) > 1 else None, "both"
    )
    told = {one["calling_ae"]: (one["tls"], one["certificate"]) for one in rows}
    assert told == {
        "MAMMO": ("TLSv1.3", f"sha256:{mammo.fingerprint}"), "MODALITY": ("", "")
    }  # fmt: skip
    assert rows[-1]["certificate_names"] == ["DNS:mammo-1.clinic.example"]
    assert "127.0.0.1 · TLSv1.3" in Browser(door.hospital).page("/associations").text


def test_the_plain_port_can_be_closed(
    make_door: MakeDoor, authority: Authority, node: Identity, mammo: Identity
) -> None:
    door = secure_door(make_door, authority, node, plain=False)
    assert not opens(door.settings.port)
    port = door.hospital.settings.tls.port
    assert f"Receives as FAPS at 127.0.0.1:{port} (TLS)" in Browser(door.hospital).page("/").text
    echo(caller(door, authority, mammo), "MAMMO")


def test_tls_1_2_is_spoken_and_nothing_older(
    make_door: MakeDoor, authority: Authority, node: Identity, mammo: Identity
) -> None:
    door = secure_door(make_door, authority, node)
    for newest, taken in ((ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_1, False)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(authority.file)
        context.load_cert_chain(mammo.certificate, mammo.key)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = newest
        ae = AE(ae_title="MAMMO")
        ae.add_requested_context(Verification)
        port = door.hospital.settings.tls.port
        assoc = ae.associate("127.0.0.1", port, ae_title="FAPS", tls_args=(context, "localhost"))
        assert assoc.is_established is taken
        if taken:
            assoc.release()
    assert "demands 1.2 or 1.3" in row(door, "closed")["advice"]


def test_a_caller_without_a_certificate_is_told_and_may_come_where_none_is_required(
    make_door: MakeDoor, authority: Authority, node: Identity
) -> None:
    door = secure_door(make_door, authority, node)
    with pytest.raises(PeerError, match="demands a certificate of ours"):
        echo(caller(door, authority, None), "MAMMO")
    assert 'tls.clients = "optional"' in row(door, "closed")["advice"]
    echo(caller(secure_door(make_door, authority, node, clients="optional"), authority, None), "M")


def test_a_caller_of_an_unknown_authority_is_refused_with_what_to_do(
    make_door: MakeDoor, authority: Authority, node: Identity, tmp_path: Path
) -> None:
    door = secure_door(make_door, authority, node)
    stranger = Authority(tmp_path, "somebody else").issue("stranger")
    with pytest.raises(PeerError, match="does not trust the authority of our certificate"):
        echo(caller(door, authority, stranger), "MAMMO")
    advice = row(door, "closed")["advice"]
    assert "its certificate is not taken" in advice
    assert "put the certificate of its authority into the ca file" in advice


def test_an_expired_certificate_of_a_caller_is_named(
    make_door: MakeDoor, authority: Authority, node: Identity
) -> None:
    door = secure_door(make_door, authority, node)
    old = authority.issue("old", days=-1, since=-30)
    with pytest.raises(PeerError, match="our certificate has expired"):
        echo(caller(door, authority, old), "MAMMO")
    assert "certificate has expired" in row(door, "closed")["advice"]


def test_plain_dicom_at_the_tls_port_is_told_as_what_it_is(
    make_door: MakeDoor, authority: Authority, node: Identity
) -> None:
    door = secure_door(make_door, authority, node)
    ae = AE(ae_title="OLD")
    ae.add_requested_context(MG, ExplicitVRLittleEndian)
    port = door.hospital.settings.tls.port
    assert not ae.associate("127.0.0.1", port, ae_title="FAPS").is_established
    assert "it speaks no TLS; switch TLS on at the sender" in row(door, "closed")["advice"]


def test_a_stalled_handshake_delays_nobody(
    make_door: MakeDoor, authority: Authority, node: Identity, mammo: Identity,
) -> None:  # fmt: skip
    door = secure_door(make_door, authority, node, handshake_s=2.0)
    address = ("127.0.0.1", door.hospital.settings.tls.port)
    stalled = [socket.create_connection(address) for _ in range(10)]
    echo(caller(door, authority, mammo), "MAMMO")
    echoed = door.row()  # nobody's handshake has been given up by now
    assert echoed["calling_ae"] == "MAMMO"
    assert stalled[0].recv(1) == b""  # but each of them is in the end
    for connection in stalled:
        connection.close()
    assert "No TLS handshake within 2 s" in row(door, "closed")["advice"]


def test_a_renewed_certificate_is_shown_to_the_next_caller(
    make_door: MakeDoor, authority: Authority, mammo: Identity, tmp_path: Path
) -> None:
    first, second = authority.issue("a", "localhost"), authority.issue("b", "localhost")
    live = Identity(tmp_path / "live.pem", tmp_path / "live.key", "")

    def put(identity: Identity) -> None:
        shutil.copy(identity.certificate, live.certificate)
        shutil.copy(identity.key, live.key)

    put(first)
    door = secure_door(make_door, authority, live)

    def shown() -> bytes | None:
        contexts = [build_context(Verification)]
        with association(caller(door, authority, mammo), "MAMMO", contexts) as assoc:
            connection = assoc.dul.socket.socket
            assert isinstance(connection, ssl.SSLSocket)
            return connection.getpeercert(binary_form=True)

    before = shown()
    put(second)
    after = shown()
    assert before == ssl.PEM_cert_to_DER_cert(first.certificate.read_text())
    assert after == ssl.PEM_cert_to_DER_cert(second.certificate.read_text())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"host": "127.0.0.1"}, "let it name the address that we call, or set tls_check_host"),
        ({"host": "127.0.0.1", "tls_check_host": False}, ""),
        ({"tls_ca_file": "other"}, "put the certificate of its authority into the ca file"),
        ({"tls_ca_file": "/not/there"}, "tls_ca_file of destination node: /not/there cannot be"),
    ],
)
def test_a_destination_that_does_not_prove_who_it_is_gets_nothing(
    make_door: MakeDoor, authority: Authority, node: Identity, mammo: Identity, tmp_path: Path,
    more: dict[str, Any], told: str,
) -> None:  # fmt: skip
    door = secure_door(make_door, authority, node)
    if more.get("tls_ca_file") == "other":
        more = more | {"tls_ca_file": str(Authority(tmp_path, "other").file)}
    there = caller(door, authority, mammo, **more)
    if not told:
        echo(there, "MAMMO")
        return
    with pytest.raises(PeerError, match=told):
        echo(there, "MAMMO")


def test_commands_speak_tls_to_a_configured_destination(
    make_door: MakeDoor, authority: Authority, node: Identity, mammo: Identity, tmp_path: Path
) -> None:
    door = secure_door(make_door, authority, node)
    port = door.hospital.settings.tls.port
    own = "\n".join(f'{name} = "{file}"' for name, file in files(authority, mammo).items())
    there = f'name = "node"\nae_title = "FAPS"\nhost = "localhost"\nport = {port}\ntls = true\n'
    config = tmp_path / "node.toml"
    config.write_text(f"[tls]\nport = 0\n{own}\n[[destinations]]\n{there}")
    by_hand = f"FAPS@localhost:{port}"
    for command in (
        ("echo", "node"), ("probe", "node", "--json"), ("echo", by_hand, "--tls"),
        ("probe", by_hand, "--tls"),
    ):  # fmt: skip
        said = run_command(*command, "--config", str(config))
        assert said.exit_code == 0, said.output
    assert run_command("echo", by_hand, "--config", str(config)).exit_code == 1
    with pytest.raises(PeerError, match=r"tls\.ca_file is not set"):
        echo(peer(by_hand, tls=Tls()), "MAMMO")


def test_a_port_whose_certificate_is_wrong_does_not_open(
    make_door: MakeDoor, authority: Authority, node: Identity, mammo: Identity
) -> None:
    mixed = Identity(node.certificate, mammo.key, "")
    with pytest.raises(ConfigurationError, match="is not the key of"):
        secure_door(make_door, authority, mixed)


def test_page_and_metrics_tell_of_an_expiry_and_the_node_goes_on(
    make_door: MakeDoor, authority: Authority, mammo: Identity
) -> None:
    soon = authority.issue("soon", "localhost", days=6.5)
    door = secure_door(make_door, authority, soon)
    echo(caller(door, authority, mammo), "MAMMO")
    browser = Browser(door.hospital)
    assert "(CN=soon) expires in 6 days; put a new one there" in browser.page("/").text
    families = text_string_to_metric_families(browser.get("/metrics").text)
    (family,) = [one for one in families if one.name == "faps_node_certificate_not_after_seconds"]
    told = {one.labels["use"]: one.value for one in family.samples}
    assert set(told) == {"tls.certificate_file", "tls.ca_file"}
    assert told["tls.certificate_file"] < told["tls.ca_file"]
