"""The ledger's tables of what passes with other systems beside images and results."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, Integer, String, Table, Text

from dicom_node.domain.procedure import ProcedureState
from dicom_node.domain.promise import PromiseState
from dicom_node.domain.pull import PullState
from dicom_node.store.tables import ID, TIME, UID, metadata, state_column

__all__ = ["metadata", "not_taken", "procedures", "promises", "pulls", "reaches"]

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

procedures = Table(
    "procedures",
    metadata,
    Column("sop_instance_uid", UID, primary_key=True),
    Column("study_instance_uid", UID, nullable=False, index=True),
    Column("calling_ae", String(16), nullable=False),
    *state_column(ProcedureState),
    Column("images", JSON, nullable=False),  # SOP Instance UIDs that it names
    Column("began_at", TIME, nullable=False),
    Column("changed_at", TIME, nullable=False),
)

pulls = Table(
    "pulls",
    metadata,
    Column("id", ID, primary_key=True),
    Column("study_instance_uid", UID, nullable=False, index=True),
    Column("source", String(300), nullable=False),  # a destination's name, or AE@host:port
    Column("actor", String(200), nullable=False),
    *state_column(PullState),
    Column("attempts", Integer, nullable=False, default=0),
    Column("images", Integer, nullable=False, default=0),  # that came
    Column("next_at", TIME, nullable=False),
    Column("ordered_at", TIME, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Index(None, "state", "next_at"),
)

reaches = Table(
    "reaches",
    metadata,
    Column("destination", String(80), primary_key=True),
    Column("failures", Integer, nullable=False),  # domain.reach.Reach
    Column("probes", Integer, nullable=False),
    Column("down_since", TIME),
    Column("probe_at", TIME),
    Column("reason", Text, nullable=False),
)

not_taken = Table(
    "not_taken",
    metadata,
    Column("destination", String(80), primary_key=True),
    Column("sop_class_uid", UID, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at", TIME, nullable=False),
)
