"""Certificates as values: how long one is valid, and what a peer shows of its own."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

DAY_S = 86400.0
SOON_DAYS = 30
VERY_SOON_DAYS = 7
# As openssl prints it, or its 64 digits alone.
_FINGERPRINT = re.compile(
    r"(?:sha-?256(?: fingerprint)?[:=] ?)?((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})", re.IGNORECASE
)
_NAME = re.compile(r"[A-Za-z0-9._:@/%+~=-]{1,255}")


class Validity(enum.Enum):
    """How a certificate stands to the calendar."""

    GOOD = "good"
    SOON = "soon"
    VERY_SOON = "very_soon"
    EXPIRED = "expired"
    NOT_YET = "not_yet"


# What needs a person now; the others can wait until somebody reads them.
URGENT = frozenset({Validity.VERY_SOON, Validity.EXPIRED, Validity.NOT_YET})


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What a certificate file of ours holds; times in seconds since 1970."""

    use: str  # the setting that names its file
    file: str
    subject: str
    fingerprint: str  # SHA-256, 64 hexadecimal digits
    not_before: float
    not_after: float

    def validity(self, now: float) -> Validity:
        """How it stands to the calendar at ``now``."""
        if now < self.not_before:
            return Validity.NOT_YET
        left = self.not_after - now
        if left <= 0:
            return Validity.EXPIRED
        if left <= VERY_SOON_DAYS * DAY_S:
            return Validity.VERY_SOON
        return Validity.SOON if left <= SOON_DAYS * DAY_S else Validity.GOOD

    def words(self, now: float) -> str:
        """The same for people, with what to do.

        >>> one = Certificate(use="tls.certificate_file", file="node.pem", subject="CN=faps",
        ...                   fingerprint="00" * 32, not_before=0.0, not_after=10 * DAY_S)
        >>> one.words(4.5 * DAY_S)
        'tls.certificate_file node.pem (CN=faps) expires in 5 days; put a new one there'
        """
        head = f"{self.use} {self.file} ({self.subject})"
        days = int((self.not_after - now) // DAY_S)
        validity = self.validity(now)
        if validity is Validity.NOT_YET:
            return f"{head} is not yet valid; check this machine's clock, or put the old one back"
        if validity is Validity.EXPIRED:
            return f"{head} expired {-days - 1} days ago; put a new one there"
        rest = "" if validity is Validity.GOOD else "; put a new one there"
        return f"{head} expires in {days} days{rest}"


@dataclass(frozen=True)
class Shown:
    """A certificate that a peer showed and that our list of authorities vouches for."""

    fingerprint: str  # SHA-256, 64 hexadecimal digits
    names: tuple[str, ...] = ()  # subject alternative names, each as DNS:…, IP:…, URI:… or email:…

    def answers(self, demand: str) -> bool:
        """Whether it is the one that a peer must show."""
        if demand.startswith("sha256:"):
            return demand == f"sha256:{self.fingerprint}"
        wanted = demand.casefold()
        return any(
            wanted in {name.casefold(), name.partition(":")[2].casefold()} for name in self.names
        )

    @property
    def words(self) -> str:
        """For people: which one it was."""
        names = f" ({', '.join(self.names[:3])})" if self.names else ""
        return f"sha256:{self.fingerprint}{names}"


def checked_demand(text: str) -> str:
    """What a peer must show, as it is kept: a fingerprint or a subject alternative name.

    >>> checked_demand("SHA256 Fingerprint=" + ":".join(["AB"] * 32)) == "sha256:" + "ab" * 32
    True
    >>> checked_demand("mammo-1.clinic.example")
    'mammo-1.clinic.example'

    Raises
    ------
    ValueError
        When it is neither.

    """
    if not text:
        return ""
    if found := _FINGERPRINT.fullmatch(text.strip()):
        return f"sha256:{found[1].replace(':', '').lower()}"
    if text.lower().startswith("sha") or _NAME.fullmatch(text) is None:
        raise ValueError(
            f"{text!r} is neither a SHA-256 fingerprint (64 hexadecimal digits) nor a subject "
            "alternative name such as mammo-1.clinic.example"
        )
    return text
