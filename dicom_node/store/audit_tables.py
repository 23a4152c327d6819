"""The ledger's tables that prove its events, and say how far they were told."""

from __future__ import annotations

from sqlalchemy import Column, String, Table

from dicom_node.store.tables import ID, SHA256, TIME, metadata

# Rows here and in ``events`` can only be added: triggers of the migration refuse all else.
seals = Table(
    "seals",
    metadata,
    Column("position", ID, primary_key=True, autoincrement=False),
    Column("event_id", ID, nullable=False, unique=True),  # no foreign key: it outlives its event
    Column("digest", SHA256, nullable=False),  # of the event's row
    Column("hash", SHA256, nullable=False),  # of the hash before and the digest
    Column("sealed_at", TIME, nullable=False),
)

# A row here lets its own transaction remove events that are too old, and nothing else does.
audit_door = Table("audit_door", metadata, Column("opened_by", String(200), primary_key=True))

audit_cursor = Table(
    "audit_cursor",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("position", ID, nullable=False),  # of the last seal whose event was handed over
    Column("moved_at", TIME, nullable=False),
)
