"""Certificates, keys and authorities, looked at."""

from __future__ import annotations

import stat
import time
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from dicom_node.certificates import described, names_of, read_certificates
from dicom_node.doctor.finding import Finding, Findings, good, skipped, told, warning, wrong
from dicom_node.domain.certificate import URGENT, Certificate, Validity
from dicom_node.errors import ConfigurationError
from dicom_node.sections import Tls
from dicom_node.settings import Settings
from dicom_node.tls import client_context, server_context

LOCAL = {"127.0.0.1", "::1", "localhost"}


def certificates(settings: Settings) -> Findings:
    """Each file that the settings name: readable, fitting, in time."""
    tls = settings.tls
    if tls.certificate_file:
        yield from _ours(tls)
    elif settings.listener.host in LOCAL:
        yield skipped("tls", "no certificate is set, and only this machine may call")
    else:
        remedy = "set [tls] where the senders speak it, and keep the network to them"
        yield warning("tls", "none: images come unencrypted, titles prove nothing", remedy)
    if tls.ca_file:
        yield from _dated("tls.ca_file", tls.ca_file)
    for destination in settings.destinations:
        if not destination.tls:
            continue
        try:
            client_context(destination)
        except ConfigurationError as error:
            yield told("tls", error)
            continue
        if destination.tls_ca_file:
            yield from _dated(f"tls_ca_file of {destination.name}", destination.tls_ca_file)
    yield from _demands(settings)


def _ours(tls: Tls) -> Findings:
    try:
        server_context(tls)
        chain = read_certificates(tls.certificate_file, "tls.certificate_file")
    except ConfigurationError as error:
        yield told("tls", error)
        return
    leaf = chain[0]
    yield good("tls", f"the key fits {tls.certificate_file}")
    yield from _dated("tls.certificate_file", tls.certificate_file)
    if not names_of(leaf):
        words = "our certificate has no subject alternative name: callers that compare names refuse"
        yield warning("tls", words, "make one with this machine's name as subjectAltName")
    yield _chain(tls, chain)
    key = Path(tls.key_file or tls.certificate_file)
    if stat.S_IMODE(key.stat().st_mode) & 0o007:
        yield warning("tls", f"{key} can be read by everybody", f"chmod 600 {key}")


def _chain(tls: Tls, chain: list[x509.Certificate]) -> Finding:
    """Whether each certificate is vouched for by the next, or by an authority that we know."""
    known = list(chain)
    if tls.ca_file:
        with suppress(ConfigurationError):  # which is told by itself
            known += read_certificates(tls.ca_file, "tls.ca_file")
    for one in chain:
        if not any(_vouches(other, one) for other in known):
            issuer = one.issuer.rfc4514_string()
            words = f"who made our certificate ({issuer}) is not in its file"
            remedy = "append the intermediate certificates, unless every caller has them"
            return warning("tls", words, remedy)
    return good("tls", "the chain of our certificate is whole")


def _vouches(issuer: x509.Certificate, subject: x509.Certificate) -> bool:
    try:
        subject.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _dated(use: str, file: str) -> Findings:
    now = time.time()
    try:
        found = [described(one, use, file) for one in read_certificates(file, use)]
    except ConfigurationError as error:
        yield told("tls", error)
        return
    for one in found:
        yield _judged(one, now)


def _judged(one: Certificate, now: float) -> Finding:
    validity = one.validity(now)
    words, _, remedy = one.words(now).partition("; ")
    if validity is Validity.GOOD:
        return good("tls", words)
    if validity in URGENT and validity is not Validity.VERY_SOON:
        return wrong("tls", words, remedy)
    return warning("tls", words, remedy)


def _demands(settings: Settings) -> Findings:
    """Peers that cannot come in, because nobody could show what they must show."""
    for peer in settings.peers:
        if peer.certificate and not (settings.tls.listens and settings.tls.ca_file):
            words = f"peer {peer.name} must show a certificate, and there is no port to show it at"
            yield wrong("tls", words, "set tls.certificate_file and tls.ca_file")
