"""A certificate authority for tests: certificates as hospitals have them, good and bad."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Identity:
    """A certificate and its key as files; ``fingerprint`` is its SHA-256 in hexadecimal."""

    certificate: Path
    key: Path
    fingerprint: str


@dataclass
class Authority:
    """Signs what it is asked for; its own certificate is ``ca.pem`` of its folder."""

    folder: Path
    name: str = "test authority"
    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        now = dt.datetime.now(dt.UTC)
        self._subject = _subject(self.name)
        builder = _builder(self._subject, self._subject, self.key, now - DAY, now + 3650 * DAY)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.file = self.folder / "ca.pem"
        self.file.write_bytes(_pem(builder.sign(self.key, hashes.SHA256())))

    def issue(
        self,
        name: str,
        *names: str,
        days: float = 365,
        since: float = -1,
        key: Key | None = None,
        passphrase: str = "",
    ) -> Identity:
        """A certificate for ``names``, else for this machine; ``since`` and ``days`` from now."""
        own = key or ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        builder = _builder(_subject(name), self._subject, own, now + since * DAY, now + days * DAY)
        builder = builder.add_extension(
            _alternatives(names or ("localhost", "127.0.0.1")), critical=False
        )
        builder = builder.add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        )
        made = builder.sign(self.key, hashes.SHA256())
        file, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        file.write_bytes(_pem(made))
        hidden: Any = (
            serialization.BestAvailableEncryption(passphrase.encode())
            if passphrase
            else serialization.NoEncryption()
        )
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
        key_file.touch(mode=0o600)
        key_file.write_bytes(own.private_bytes(*form, hidden))
        return Identity(file, key_file, made.fingerprint(hashes.SHA256()).hex())


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, since: dt.datetime, until: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
    )


def _alternatives(names: tuple[str, ...]) -> x509.SubjectAlternativeName:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(found)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
