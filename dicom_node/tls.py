"""TLS by the BCP 195 profile of DICOM (PS3.15 B.12): contexts, handshakes, files that change."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import suppress
from pathlib import Path

from dicom_node.certificates import check_key, described, read_certificates
from dicom_node.destination_section import Destination
from dicom_node.domain.certificate import Validity
from dicom_node.errors import ConfigurationError
from dicom_node.logs import logger
from dicom_node.sections import Tls

HANDSHAKE_S = 5.0
LOOK_S = 2.0
# RFC 9325 4.2: forward secrecy and authenticated encryption only. TLS 1.3 knows nothing else.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
# OpenSSL's verification results (X509_V_ERR_*), each with the next step.
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
_NEXT = {
    9: "compare the clocks of both sides",
    10: "it has to be renewed there",
    62: "let it name the host that we call, or set tls_check_host = false",
    64: "let it name the address that we call, or set tls_check_host = false",
} | dict.fromkeys(_UNKNOWN_AUTHORITY, "put the certificate of its authority into the ca file here")
_WORDS = {
    "WRONG_VERSION_NUMBER": "it speaks no TLS; switch TLS on at the sender, or let it call the "
    "port without TLS",
    "HTTP_REQUEST": "it speaks HTTP; a browser or a health check calls the wrong port",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it showed no certificate; give the sender one, or set "
    'tls.clients = "optional"',
    "UNSUPPORTED_PROTOCOL": "it speaks no TLS newer than 1.1; the profile demands 1.2 or 1.3",
    "NO_SHARED_CIPHER": "it offers no cipher suite with forward secrecy and authenticated "
    "encryption (ECDHE with AES-GCM or ChaCha20)",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust the authority of our certificate; import that "
    "authority there",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not take our certificate; look at its own log",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it says that our certificate has expired; compare clocks",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not take our certificate; look at its own log",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks neither TLS 1.2 nor 1.3",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it refuses what we offer; it may demand a certificate of "
    "ours (tls.certificate_file), or know none of our cipher suites",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it demands a certificate of ours; set "
    "tls.certificate_file and tls.key_file",
}  # fmt: skip


def server_context(tls: Tls) -> ssl.SSLContext:
    """What the TLS port offers: our certificate, and the authorities of those who call.

    Raises
    ------
    ConfigurationError
        When a file is not what it must be; the message says which, why, and what to do.

    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    _show(context, tls)
    if tls.ca_file:
        _believe(context, tls.ca_file, "tls.ca_file")
        context.verify_mode = ssl.CERT_REQUIRED if tls.clients == "required" else ssl.CERT_OPTIONAL
    # A resumed session would not ask for the certificate again.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    return context


def client_context(destination: Destination) -> ssl.SSLContext:
    """How we call a destination: whom we believe, and our certificate where we have one.

    Raises
    ------
    ConfigurationError
        When a file is not what it must be.

    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = destination.tls_check_host
    ours = destination.ours
    use = (
        f"tls_ca_file of destination {destination.name}"
        if destination.tls_ca_file
        else "tls.ca_file"
    )
    if not (destination.tls_ca_file or ours.ca_file):
        raise ConfigurationError(
            "tls.ca_file is not set; name the authorities of the other side's certificate (PEM)"
        )
    _believe(context, destination.tls_ca_file or ours.ca_file, use)
    if ours.certificate_file:
        _show(context, ours)
    return context


class ServerTls:
    """The context for the next connection: files that were changed are read again."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._lock = threading.Lock()
        self._log = logger("tls")
        self._seen = self._stamp()
        self._context = server_context(tls)

    def __call__(self) -> ssl.SSLContext:
        """Give the newest context that could be made."""
        with self._lock:
            stamp = self._stamp()
            if stamp != self._seen:
                self._seen = stamp
                self._renew()
            return self._context

    def _renew(self) -> None:
        try:
            fresh = server_context(self._tls)
            (leaf, *_) = read_certificates(self._tls.certificate_file, "tls.certificate_file")
            new = described(leaf, "tls.certificate_file", self._tls.certificate_file)
            if new.validity(time.time()) in {Validity.EXPIRED, Validity.NOT_YET}:
                raise ConfigurationError(new.words(time.time()))  # noqa: TRY301 - told like the others
        except ConfigurationError as error:
            self._log.error("new certificate not taken, the old one stays", reason=str(error))
            return
        self._context = fresh
        self._log.info(
            "certificate taken", sha256=new.fingerprint[:12], reason=new.words(time.time())
        )

    def _stamp(self) -> tuple[tuple[int, ...], ...]:
        """What changes whenever one of the files does."""
        stamps = []
        for file in (self._tls.certificate_file, self._tls.key_file, self._tls.ca_file):
            found: tuple[int, ...] = ()
            with suppress(OSError):
                stat = Path(file).stat()
                found = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            stamps.append(found)
        return tuple(stamps)


def why(error: OSError) -> str:
    """Why a handshake failed, and what to do about it."""
    if isinstance(error, TimeoutError):
        return f"no TLS handshake within {HANDSHAKE_S:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        step = _NEXT.get(error.verify_code, "look at it with `openssl x509 -text`")
        return f"its certificate is not taken ({error.verify_message.rstrip('.')}); {step}"
    if isinstance(error, ssl.SSLEOFError):
        return "it hung up during the TLS handshake; look at its own log"
    reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return _WORDS.get(reason, f"the TLS handshake failed ({reason})")


def trouble_with(destination: Destination) -> str:
    """Why a TLS connection to a destination fails; empty when it comes about."""
    address = (destination.host, destination.port)
    try:
        context = client_context(destination)
        plain = socket.create_connection(address, HANDSHAKE_S)
        with plain, context.wrap_socket(plain, server_hostname=destination.host) as wrapped:
            return _heard_at_once(wrapped)
    except OSError as error:
        return why(error)


def _heard_at_once(wrapped: ssl.SSLSocket) -> str:
    """In TLS 1.3 the server judges our certificate only after our side is done."""
    wrapped.settimeout(LOOK_S)
    try:
        said = wrapped.recv(1)
    except TimeoutError:
        return ""  # it waits for our association request
    return "" if said else "it hung up after the TLS handshake; look at its own log"


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # Whatever stands in the file of authorities is believed, a single sender's certificate too.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _show(context: ssl.SSLContext, tls: Tls) -> None:
    check_key(tls.certificate_file, tls.key_file, tls.key_passphrase)
    try:
        context.load_cert_chain(
            tls.certificate_file, tls.key_file or None, tls.key_passphrase or _nothing
        )
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"tls.certificate_file: {tls.certificate_file} cannot be used ({error.reason}); "
            "make one with an RSA key of 2048 bits or more, or an elliptic one, signed with SHA-256"
        ) from None


def _believe(context: ssl.SSLContext, file: str, use: str) -> None:
    read_certificates(file, use)
    try:
        context.load_verify_locations(cafile=file)
    except ssl.SSLError as error:
        raise ConfigurationError(f"{use}: {file} cannot be used ({error.reason})") from None


def _nothing() -> str:
    """No passphrase; without this, OpenSSL would ask for one at the terminal."""
    return ""
