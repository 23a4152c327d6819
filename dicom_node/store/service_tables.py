"""The ledger's tables of what other systems ask for: promises to keep objects."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, Integer, String, Table, Text

from dicom_node.domain.promise import PromiseState
from dicom_node.store.tables import ID, TIME, UID, metadata, state_column

__all__ = ["metadata", "promises"]

promises = Table(
    "promises",
    metadata,
    Column("id", ID, primary_key=True),
    Column("transaction_uid", UID, nullable=False, index=True),
    Column("calling_ae", String(16), nullable=False),
    Column("called_ae", String(16), nullable=False),
    Column("address", String(64), nullable=False),
    Column("objects", JSON, nullable=False),  # [SOP Class UID, SOP Instance UID] of each
    Column("duplicate", Integer, nullable=False, default=0),  # its UID was used for others before
    *state_column(PromiseState),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", TIME, nullable=False),
    Column("asked_at", TIME, nullable=False),
    Column("reported_at", TIME),
    Column("committed", Integer, nullable=False, default=0),  # of the last report
    Column("failed", Integer, nullable=False, default=0),
    Column("reason", Text, nullable=False, default=""),
    Index(None, "state", "next_at"),
)
