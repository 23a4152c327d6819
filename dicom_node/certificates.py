"""Certificate files read, and what is wrong with one of them in words."""

from __future__ import annotations

import ssl
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.utils import CryptographyDeprecationWarning

from dicom_node.domain.certificate import URGENT, Certificate, Shown, Validity
from dicom_node.errors import ConfigurationError
from dicom_node.logs import logger
from dicom_node.settings import Settings

TOLD_EVERY_S = 86400.0
LONGEST_NAME = 255
MOST_NAMES = 100
_PEM = "-----BEGIN "


def read_certificates(file: str, use: str) -> list[x509.Certificate]:
    """Every certificate of a PEM file, in its order; ``use`` is the setting that names it.

    Raises
    ------
    ConfigurationError
        When the file cannot be read or holds none.

    """
    data = _read(file, use)
    if not data.strip():
        raise ConfigurationError(f"{use}: {file} is empty; put the certificate there (PEM)")
    if _PEM.encode() not in data:
        raise ConfigurationError(
            f"{use}: {file} is no PEM file; turn DER into PEM with "
            "`openssl x509 -inform der -in FILE -out FILE.pem`"
        )
    try:
        with warnings.catch_warnings():
            # Old authorities have serial numbers that the standard no longer allows.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise ConfigurationError(
            f"{use}: {file} holds no certificate that can be read; it must have a block that "
            f"begins with {_PEM}CERTIFICATE-----"
        ) from None


def check_key(certificate: str, key: str, passphrase: str) -> None:
    """Complain unless the private key belongs to the first certificate of its file.

    Raises
    ------
    ConfigurationError
        When the key cannot be read, needs another passphrase, or is somebody else's.

    """
    (leaf, *_) = read_certificates(certificate, "tls.certificate_file")
    file = key or certificate
    use = "tls.key_file" if key else "tls.certificate_file"
    found = _private_key(_read(file, use), file, use, passphrase)
    der = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if found.public_key().public_bytes(*der) != leaf.public_key().public_bytes(*der):
        raise ConfigurationError(
            f"{use}: {file} is not the key of {certificate}; put the two files there that were "
            "made together"
        )


def inventory(settings: Settings) -> tuple[Certificate, ...]:
    """Every certificate that the settings name, ours first; files that cannot be read are left out.

    ``dicom-node doctor`` and the start of the node say what is wrong with those.
    """
    tls = settings.tls
    named = [("tls.certificate_file", tls.certificate_file), ("tls.ca_file", tls.ca_file)]
    for number, destination in enumerate(settings.destinations):
        named.append(
            (
                f"destinations.{number}.tls_ca_file",
                destination.tls_ca_file if destination.tls else "",
            )
        )
    found: list[Certificate] = []
    for use, file in named:
        if file:
            found.extend(_of_file(use, file))
    return tuple(found)


def described(certificate: x509.Certificate, use: str, file: str) -> Certificate:
    """A certificate as the value that everybody else works with."""
    return Certificate(
        use=use,
        file=file,
        subject=_harmless(certificate.subject.rfc4514_string()) or "no subject",
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
    )


def shown_by(connection: ssl.SSLSocket) -> Shown | None:
    """The certificate that the other side has shown; none where it needed none."""
    der = connection.getpeercert(binary_form=True)
    if not der:
        return None
    certificate = x509.load_der_x509_certificate(der)
    return Shown(certificate.fingerprint(hashes.SHA256()).hex(), names_of(certificate))


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Its subject alternative names, harmless to databases, logs and terminals."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    kinds: tuple[tuple[type[x509.GeneralName], str], ...] = (
        (x509.DNSName, "DNS"), (x509.IPAddress, "IP"),
        (x509.UniformResourceIdentifier, "URI"), (x509.RFC822Name, "email"),
    )  # fmt: skip
    told = [
        f"{word}:{_harmless(str(name.value))}"
        for name in list(names)[:MOST_NAMES]
        for kind, word in kinds
        if isinstance(name, kind)
    ]
    # A name that were cut off might be somebody else's.
    return tuple(name for name in told if len(name) <= LONGEST_NAME)


class ExpiryWatch:
    """Tells the log of certificates that expire soon, each once a day."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._told: dict[tuple[str, str, Validity], float] = {}
        self._log = logger("certificates")

    def tick(self, now: float | None = None) -> None:
        """Look at all of them."""
        at = time.time() if now is None else now
        for certificate in inventory(self._settings):
            validity = certificate.validity(at)
            key = (certificate.use, certificate.fingerprint, validity)
            if validity is Validity.GOOD or at - self._told.get(key, -TOLD_EVERY_S) < TOLD_EVERY_S:
                continue
            self._told[key] = at
            tell = self._log.error if validity in URGENT else self._log.warning
            tell("certificate", state=validity.value, reason=certificate.words(at))


def _of_file(use: str, file: str) -> Sequence[Certificate]:
    try:
        return [described(one, use, file) for one in read_certificates(file, use)]
    except ConfigurationError:
        return ()


def _private_key(data: bytes, file: str, use: str, passphrase: str) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(data, passphrase.encode() if passphrase else None)
    except TypeError:
        if passphrase:  # there was no need of one: openssl does not mind either
            return _private_key(data, file, use, "")
        raise ConfigurationError(
            f"{use}: {file} is encrypted; put its passphrase into a file named "
            "tls__key_passphrase in the folder FAPS_NODE_SECRETS"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        if passphrase and b"ENCRYPTED" in data:
            words = "cannot be decrypted: tls.key_passphrase is not its passphrase"
        else:
            words = f"holds no private key (PEM): a block that begins with {_PEM}PRIVATE KEY-----"
        raise ConfigurationError(f"{use}: {file} {words}") from None


def _read(file: str, use: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{use}: {file} cannot be read ({error.strerror}); name an existing file that the "
            "node's user may read"
        ) from None


def _harmless(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text)
