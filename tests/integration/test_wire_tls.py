"""TLS at the port: handshakes that stall hold up nobody, records come out whole."""

from __future__ import annotations

import ssl
import subprocess

import pytest

from tests.integration.door import Door, MakeDoor
from tests.integration.test_hostile_sockets import ELSEWHERE, closed
from tests.mammogram_headers import mammogram
from tests.peers import wait_until
from tests.raw_sender import ASSOCIATE_AC, Caller, associate_rq, encoded


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate of its own."""
    folder = tmp_path_factory.mktemp("tls")
    names = ["-keyout", str(folder / "key"), "-out", str(folder / "cert")]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command = ["openssl", "req", "-x509", *kind, "-days", "1", "-subj", "/CN=node", *names]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    return context


@pytest.fixture
def secured(make_door: MakeDoor, certificate: ssl.SSLContext) -> Door:
    return make_door(tls=certificate, handshake_s=2)


def caller_with_tls(door: Door, source: str = ELSEWHERE) -> Caller:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    caller = Caller(door.settings.port, source=source)
    caller.sock = context.wrap_socket(caller.sock)
    assert caller.associate() == ASSOCIATE_AC
    return caller


def test_stalled_handshakes_hold_up_nobody(secured: Door) -> None:
    stalled = [Caller(secured.settings.port) for _ in range(10)]
    with caller_with_tls(secured) as caller:
        assert caller.echo() == 0
        caller.release()
    for one in stalled:
        assert one.sock.recv(1) == b""
        one.sock.close()
    assert "No TLS handshake within 2 s (listener.handshake_s)" in closed(secured)


def test_whoever_speaks_no_tls_is_told_about(secured: Door) -> None:
    with Caller(secured.settings.port) as caller:
        caller.sock.sendall(associate_rq())
        caller.read()
    assert "TLS handshake failed: " in closed(secured)


def test_an_object_arrives_whole_however_its_records_fall(secured: Door) -> None:
    ds = mammogram(shape=(512, 600))
    content = encoded(ds)
    with caller_with_tls(secured) as caller:
        assert caller.store(str(ds.SOPInstanceUID), [content]).status == 0
        caller.release()
    row = secured.row()
    assert (row["objects"], row["ending"]) == (1, "released")
    (file,) = wait_until(lambda: list(secured.hospital.archive.objects.glob("*/*")), "the file")
    assert file.read_bytes().endswith(content)
