"""Settings of TLS for a node or a sender of the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dicom_node.settings import Destination, default_settings
from tests.authority import Authority, Identity
from tests.integration.door import Door, MakeDoor
from tests.peers import free_port


def files(authority: Authority, own: Identity | None) -> dict[str, Any]:
    """The files of [tls] for somebody who has this certificate, or none."""
    named = {"ca_file": str(authority.file)}
    if own is not None:
        named |= {"certificate_file": str(own.certificate), "key_file": str(own.key)}
    return named


def secure_door(
    make_door: MakeDoor,
    authority: Authority,
    node: Identity,
    *,
    peers: Sequence[Any] = (),
    clients: str = "required",
    **listener: Any,
) -> Door:
    """A plain port with a TLS port beside it."""
    tls = files(authority, node) | {"port": free_port(), "clients": clients}
    return make_door(tls=tls, peers=peers, **listener)


def caller(
    door: Door, authority: Authority, own: Identity | None, host: str = "localhost", **more: Any
) -> Destination:
    """The door as a destination of somebody who has this certificate."""
    there = {"name": "node", "ae_title": "FAPS", "host": host, "tls": True, **more}
    there["port"] = door.hospital.settings.tls.port
    tls = files(authority, own) | {"port": 0}
    return default_settings({"tls": tls, "destinations": [there]}).destinations[0]
