"""Who may come in: a caller compared with the list of peers."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from dicom_node.domain.association import Refusal, Visit

Resolve = Callable[[str], frozenset[str]]  # a host name's IP addresses
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_-]+)*\.?")


class Service(enum.Enum):
    """What a peer may do here."""

    STORE = "store"
    ECHO = "echo"
    COMMITMENT = "commitment"  # tell us that our results are kept; ask us whether its images are
    MPPS = "mpps"  # tell us what it has made, so that we know when an exam is whole


ALL = tuple(Service)


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Somebody who may come in; no address: from anywhere; no called title: under each of ours."""

    name: str
    ae_title: str
    address: str = ""  # IP, CIDR or host name
    called_ae: tuple[str, ...] = ()
    certificate: str = ""  # sha256:… or a subject alternative name that it must show
    services: tuple[Service, ...] = ALL
    note: str = ""
    port: int = 0  # at which it can be called; 0: it cannot
    source: str = "node.toml"


@dataclass(frozen=True)
class Stranger:
    """Why a caller may not come in."""

    refusal: Refusal
    words: str


def checked_address(text: str) -> str:
    """``text`` when it is empty, an IP address, a network or a host name.

    Raises
    ------
    ValueError
        When it is none of them.

    """
    if not text or _network(text) is not None:
        return text
    if "/" in text or text.replace(".", "").isdigit() or _HOST.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no IP address, network such as 10.0.3.0/24, or host name")
    return text


def judge(visit: Visit, peers: Sequence[Peer], resolve: Resolve) -> tuple[Peer, ...] | Stranger:
    """The peers that the caller may be, or why it is none of them."""
    who, where = visit.calling_ae, visit.address
    titled = [peer for peer in peers if peer.ae_title == who]
    if not titled:
        return Stranger(Refusal.CALLER, _unknown(visit, peers, resolve))
    here = [peer for peer in titled if lies_in(where, peer.address, resolve)]
    if not here:
        known = ", ".join(sorted({peer.address for peer in titled}))
        words = f"{who} is known at {known}, but this call came from {where}"
        return Stranger(Refusal.ADDRESS, words)
    called = tuple(p for p in here if not p.called_ae or visit.called_ae in p.called_ae)
    if not called:
        titles = ", ".join(sorted({title for peer in here for title in peer.called_ae}))
        words = f"{who} may call {titles} only, and called {visit.called_ae}"
        return Stranger(Refusal.CALLED_BY_PEER, words)
    proven = tuple(peer for peer in called if _proven(visit, peer))
    if not proven:
        return Stranger(Refusal.CERTIFICATE, _unproven(visit, called))
    return proven


def may_connect(address: str, peers: Sequence[Peer], resolve: Resolve) -> bool:
    """Whether any peer may call from there; everybody may while there are no peers."""
    return not peers or any(lies_in(address, peer.address, resolve) for peer in peers)


def lies_in(address: str, place: str, resolve: Resolve) -> bool:
    """Whether an IP address is one of those that ``place`` means."""
    if not place:
        return True
    caller = _ip(address)
    if caller is None:
        return False
    network = _network(place)
    if network is not None:
        return caller in network
    return str(caller) in resolve(place)


def _unknown(visit: Visit, peers: Sequence[Peer], resolve: Resolve) -> str:
    there = [p for p in peers if p.address and lies_in(visit.address, p.address, resolve)]
    words = f"{visit.calling_ae or 'A caller without a title'} is not on the list of peers"
    if not there:
        return words
    known = ", ".join(sorted({f"{peer.name} ({peer.ae_title})" for peer in there}))
    return f"{words}; {visit.address} is known as {known}"


def _proven(visit: Visit, peer: Peer) -> bool:
    """Whether the caller has shown what the peer must show."""
    if not peer.certificate:
        return True
    return visit.shown is not None and visit.shown.answers(peer.certificate)


def _unproven(visit: Visit, peers: Sequence[Peer]) -> str:
    wanted = " or ".join(sorted({peer.certificate for peer in peers}))
    if not visit.tls:
        came = "came without TLS"
    elif visit.shown is None:
        came = "showed none"
    else:
        came = f"showed {visit.shown.words}"
    return f"{visit.calling_ae} must show the certificate {wanted}, and {came}"


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # A socket that serves both families tells IPv4 callers as ::ffff:10.0.3.7.
    return getattr(address, "ipv4_mapped", None) or address


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
