"""Certificate files that are wrong are told in words; files that change are taken, or not."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from structlog.testing import capture_logs

from dicom_node.certificates import ExpiryWatch, inventory
from dicom_node.domain.certificate import Validity
from dicom_node.errors import ConfigurationError
from dicom_node.settings import default_settings, load_settings
from dicom_node.tls import ServerTls, server_context
from tests.authority import Authority, Identity

WORDS = ("open sesame", "wrong")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def node(authority: Authority) -> Identity:
    return authority.issue("node")


def tls(authority: Authority, node: Identity, **more: object) -> dict[str, object]:
    files = {"certificate_file": node.certificate, "key_file": node.key, "ca_file": authority.file}
    return {name: str(file) for name, file in files.items()} | more


def context_of(settings: dict[str, object]) -> ssl.SSLContext:
    return server_context(default_settings({"tls": settings}).tls)


def test_the_port_offers_the_profile_and_no_more(authority: Authority, node: Identity) -> None:
    context = context_of(tls(authority, node))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    suites = context.get_ciphers()
    assert {suite["protocol"] for suite in suites} == {"TLSv1.2", "TLSv1.3"}
    assert all(suite["aead"] for suite in suites)
    assert {suite["kea"] for suite in suites} <= {"kx-ecdhe", "kx-any"}
    for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION, ssl.OP_NO_TICKET):
        assert context.options & option


def test_senders_need_no_certificate_where_the_settings_say_so(
    authority: Authority, node: Identity
) -> None:
    assert context_of(tls(authority, node, clients="optional")).verify_mode is ssl.CERT_OPTIONAL
    alone = context_of(tls(authority, node, clients="optional", ca_file=""))
    assert alone.verify_mode is ssl.CERT_NONE


def test_a_key_with_a_passphrase_is_read(authority: Authority) -> None:
    node = authority.issue("hidden", passphrase=WORDS[0])
    context_of(tls(authority, node, key_passphrase=WORDS[0]))
    with pytest.raises(ConfigurationError, match="tls__key_passphrase"):
        context_of(tls(authority, node))
    with pytest.raises(ConfigurationError, match="is not its passphrase"):
        context_of(tls(authority, node, key_passphrase=WORDS[1]))


def test_a_key_in_the_certificates_file_is_found(
    authority: Authority, node: Identity, tmp_path: Path
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(node.certificate.read_bytes() + node.key.read_bytes())
    context_of(tls(authority, node, certificate_file=str(both), key_file=""))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("certificate_file", None, "cannot be read (No such file or directory)"),
        ("certificate_file", b"", "is empty"),
        ("certificate_file", b"\x30\x82\x01\x0a", "openssl x509 -inform der"),
        ("certificate_file", b"-----BEGIN CERTIFICATE-----\nMII\n", "no certificate that can be"),
        ("key_file", None, "cannot be read"),
        ("key_file", b"something", "holds no private key (PEM)"),
        ("ca_file", None, "cannot be read"),
        ("ca_file", b"hello", "is no PEM file"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_the_reason(
    authority: Authority,
    node: Identity,
    tmp_path: Path,
    name: str,
    content: bytes | None,
    told: str,
) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError) as error:
        context_of(tls(authority, node, **{name: str(file)}))
    assert told in str(error.value)
    assert f"tls.{name}: {file}" in str(error.value)


def test_a_key_of_another_certificate_is_not_taken(authority: Authority, node: Identity) -> None:
    other = authority.issue("other")
    with pytest.raises(ConfigurationError, match=r"is not the key of .*node\.pem"):
        context_of(tls(authority, node, key_file=str(other.key)))


def test_a_weak_key_is_told_with_what_would_do(authority: Authority) -> None:
    weak = authority.issue("weak", key=rsa.generate_private_key(65537, 1024))  # noqa: S505 - the point
    with pytest.raises(ConfigurationError, match=r"EE_KEY_TOO_SMALL.*2048"):
        context_of(tls(authority, weak))


def test_a_renewed_certificate_is_taken_without_a_restart_and_a_bad_one_is_not(
    authority: Authority, tmp_path: Path
) -> None:
    first, second = authority.issue("first"), authority.issue("second")
    expired = authority.issue("expired", days=-1, since=-9)
    live = Identity(tmp_path / "live.pem", tmp_path / "live.key", "")

    def put(identity: Identity, *, key: bool = True) -> None:
        shutil.copy(identity.certificate, live.certificate)
        if key:
            shutil.copy(identity.key, live.key)

    put(first)
    contexts = ServerTls(default_settings({"tls": tls(authority, live)}).tls)
    old = contexts()
    assert contexts() is old
    with capture_logs() as logs:
        put(expired)
        assert contexts() is old
        put(second, key=False)
        assert contexts() is old
        assert contexts() is old
    assert [log["log_level"] for log in logs] == ["error", "error"]
    assert "expired 0 days ago" in logs[0]["reason"] or "expired 1 days ago" in logs[0]["reason"]
    assert "is not the key of" in logs[1]["reason"]
    put(second)
    assert contexts() is not old


def test_the_log_tells_of_an_expiry_once_a_day(authority: Authority) -> None:
    soon = authority.issue("soon", days=20)
    settings = default_settings({"tls": tls(authority, soon)})
    (own, ca) = inventory(settings)
    now = own.not_after - 20 * 86400
    assert (own.validity(now), ca.validity(now)) == (Validity.SOON, Validity.GOOD)
    watch = ExpiryWatch(settings)
    with capture_logs() as logs:
        for days in (0, 0.5, 1, 14):
            watch.tick(now + days * 86400)
        watch.tick(own.not_after + 1)
    told = [(log["log_level"], log["state"]) for log in logs]
    assert told == [
        ("warning", "soon"), ("warning", "soon"), ("error", "very_soon"), ("error", "expired")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"listener": {"plain": False}}, "nobody could send anything"),
        ({"tls": {"certificate_file": "a.pem"}}, "tls.ca_file must name"),
        (
            {"tls": {"certificate_file": "a", "ca_file": "b", "port": 11112}},
            "listener.port and tls.port are both 11112",
        ),
        (
            {"destinations": [{"name": "p", "ae_title": "P", "host": "h", "tls": True}]},
            "destination 'p' has tls = true",
        ),
        (
            {"peers": [{"name": "p", "ae_title": "P", "certificate": "sha256:12"}]},
            "neither a SHA-256 fingerprint",
        ),
    ],
)
def test_settings_that_cannot_work_are_told(settings: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        load_settings(overrides=settings)


def test_a_passphrase_comes_from_a_secret_file_and_shows_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tls__key_passphrase").write_text(WORDS[0])
    monkeypatch.setenv("FAPS_NODE_SECRETS", str(tmp_path))
    settings = load_settings()
    assert settings.tls.key_passphrase == WORDS[0]
    assert "sesame" not in repr(settings)
