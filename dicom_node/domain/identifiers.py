"""Identifiers that the same input always yields again."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable

# The namespace is a constant of the product: changing it would give every result a new identity.
NAMESPACE = uuid.UUID("6d1c2f9e-5b0e-5e0a-9a52-3f0f5f1f7c11")
_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+")
UID_MAX_LENGTH = 64  # PS3.5 9.1


def derive_uid(*parts: str) -> str:
    """UID derived from ``parts`` alone, in the UUID form of PS3.5 B.2 (``2.25.`` and an integer).

    The same parts give the same UID, on every machine, however often: this is what makes a
    repeated delivery the same object instead of a second one.

    >>> derive_uid("a", "b") == derive_uid("a", "b") != derive_uid("ab")
    True
    """
    return f"2.25.{uuid.uuid5(NAMESPACE, _name(parts)).int}"


def derive_id(*parts: str) -> str:
    """Opaque id (a UUID as text) derived from ``parts`` alone: job ids, asset tags."""
    return str(uuid.uuid5(NAMESPACE, "id\x1f" + _name(parts)))


def _name(parts: Iterable[str]) -> str:
    """One text of many; the separator is escaped in the parts, so two lists never collide."""
    escaped = (part.replace("\x1e", "\x1e0").replace("\x1f", "\x1e1") for part in parts)
    return "\x1f".join(escaped)


def is_uid(text: str) -> bool:
    """Whether ``text`` is a UID by PS3.5 9.1: at most 64 characters, digits and dots only.

    >>> is_uid("1.2.840.10008.1.1"), is_uid("../etc/passwd"), is_uid("1.02")
    (True, False, False)
    """
    return len(text) <= UID_MAX_LENGTH and _UID.fullmatch(text) is not None


# Of the files that we write (PS3.10 7.1).
IMPLEMENTATION_CLASS_UID = derive_uid("faps", "implementation")
IMPLEMENTATION_VERSION = "FAPS_NODE_0"
