"""The ledger's tables."""

from __future__ import annotations

import enum

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from dicom_node.domain.delivery import DeliveryState
from dicom_node.domain.job import JobState
from dicom_node.domain.study import StudyState

# SQLite counts rowids only in a column declared INTEGER.
ID = BigInteger().with_variant(Integer(), "sqlite")
UID = String(64)
SHA256 = String(64)
# Times are seconds since 1970 by the database's clock; only the receiver's modality clock differs.
TIME = Float(53)


class InstanceState(enum.Enum):
    """What became of a received instance."""

    KEPT = "kept"
    IGNORED = "ignored"  # accepted for the sender's sake; no part of any analysis
    CONFLICT = "conflict"  # the same SOP Instance UID came before with other bytes


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _state(states: type[enum.Enum]) -> tuple[Column[str], CheckConstraint]:
    """A state column with a CHECK built from its Enum: nothing else can stand there."""
    values = ", ".join(f"'{state.value}'" for state in states)
    return (
        Column("state", String(20), nullable=False),
        CheckConstraint(f"state IN ({values})", name="state"),
    )


state_column = _state  # for the tables in other files

associations = Table(
    "associations",
    metadata,
    Column("id", ID, primary_key=True),
    Column("called_ae", String(16), nullable=False),
    Column("calling_ae", String(16), nullable=False),
    Column("address", String(64), nullable=False),
    Column("opened_at", TIME, nullable=False),
    Column("closed_at", TIME),
    Column("ending", String(40)),  # domain.association.Ending
    Column("objects", Integer, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("peer", String(80), nullable=False, default="", server_default=""),  # taken for
    Column("tls", String(16), nullable=False, server_default=""),  # version; empty: plain
    Column("certificate", String(80), nullable=False, server_default=""),  # that was shown
    Column("certificate_names", JSON, nullable=False, server_default="[]"),
    Column("contexts", JSON, nullable=False, default=list, server_default="[]"),
    Column("refused", Integer, nullable=False, default=0, server_default="0"),  # objects
    Column("reason", Text, nullable=False, default="", server_default=""),
    Column("code", String(40), nullable=False, default="", server_default=""),  # what went wrong
    Column("advice", Text, nullable=False, default="", server_default=""),
    Index(None, "opened_at"),
    Index(None, "code"),
)

peers = Table(
    "peers",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("ae_title", String(16), nullable=False),
    Column("address", String(255), nullable=False),  # IP, CIDR or host name; empty: anywhere
    Column("called_ae", JSON, nullable=False),  # AE titles of ours; empty: any
    Column("certificate", String(255), nullable=False, server_default=""),  # domain.certificate
    Column("services", JSON, nullable=False),  # domain.peer.Service
    Column("note", Text, nullable=False),
    Column("port", Integer, nullable=False, default=0, server_default="0"),  # to call it at
    Column("added_at", TIME, nullable=False),
    Column("added_by", String(200), nullable=False),
)

studies = Table(
    "studies",
    metadata,
    Column("id", ID, primary_key=True),
    Column("study_instance_uid", UID, nullable=False, unique=True),
    Column("patient_id", Text, nullable=False),
    Column("accession_number", Text, nullable=False),
    Column("calling_ae", String(16), nullable=False),
    Column("called_ae", String(16), nullable=False, default="", server_default=""),
    *_state(StudyState),
    Column("reason", Text, nullable=False, default=""),
    Column("hold_code", String(40)),  # set at intake: the next job starts HELD
    Column("hold_reason", Text),
    Column("revision", Integer, nullable=False, default=1),
    Column("opened_at", TIME, nullable=False),
    Column("last_received_at", TIME, nullable=False),
    Index(None, "state"),
)

instances = Table(
    "instances",
    metadata,
    Column("id", ID, primary_key=True),
    Column("study_id", ID, ForeignKey("studies.id"), nullable=False, index=True),
    Column("association_id", ID, ForeignKey("associations.id"), index=True),
    Column("sop_instance_uid", UID, nullable=False),
    Column("sop_class_uid", UID, nullable=False),
    Column("sha256", SHA256, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("header", JSON, nullable=False),
    Column("received_at", TIME, nullable=False),
    *_state(InstanceState),
    Column("reason", Text, nullable=False, default=""),
    Column("removed_at", TIME),  # by storage.keep_days; its file goes after this
    Column("erased", Integer, nullable=False, default=0, server_default="0"),  # the file has gone
    Column("fault", String(10), nullable=False, default="", server_default=""),  # of its file
    UniqueConstraint("sop_instance_uid", "sha256"),
    Index(None, "sha256"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("study_id", ID, ForeignKey("studies.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("input_hash", SHA256, nullable=False),
    *_state(JobState),
    Column("reason_code", String(40), nullable=False, default=""),
    Column("reason", Text, nullable=False, default=""),
    Column("attempts", Integer, nullable=False, default=0),
    Column("token", Integer, nullable=False, default=0),
    Column("lease_owner", String(200)),
    Column("lease_until", TIME),
    Column("next_at", TIME),
    Column("hinted_at", TIME),
    Column("planned_at", TIME),  # when deliveries were made of its artefacts
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
    Column("bundle", Text, nullable=False, default=""),
    Column("seconds", JSON, nullable=False, default=dict),
    Column(
        "assessments", JSON, nullable=False, default=dict, server_default="{}"
    ),  # BI-RADS by breast, when made
    UniqueConstraint("study_id", "revision"),
    Index(None, "state", "next_at"),
)

assessments = Table(
    "assessments",
    metadata,
    Column("id", ID, primary_key=True),
    Column("study_id", ID, ForeignKey("studies.id"), nullable=False),
    Column("laterality", String(1), nullable=False),
    Column("category", String(2), nullable=False),
    Column("source", UID, nullable=False, default=""),  # the report; empty: entered at the node
    Column("given_at", TIME, nullable=False),
    UniqueConstraint("study_id", "laterality"),
)

job_inputs = Table(
    "job_inputs",
    metadata,
    Column("job_id", String(36), ForeignKey("jobs.id"), primary_key=True),
    Column("instance_id", ID, ForeignKey("instances.id"), primary_key=True),
)

artefacts = Table(
    "artefacts",
    metadata,
    Column("id", ID, primary_key=True),
    Column("job_id", String(36), ForeignKey("jobs.id"), nullable=False),
    Column("role", String(20), nullable=False),
    Column("key", String(40), nullable=False),
    Column("media_type", String(80), nullable=False),
    Column("sop_class_uid", UID, nullable=False, default=""),
    Column("sop_instance_uid", UID, nullable=False, default=""),
    Column("sha256", SHA256, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("fault", String(10), nullable=False, default="", server_default=""),  # of its file
    UniqueConstraint("job_id", "role", "key"),
    Index(None, "sha256"),
    Index(None, "sop_instance_uid"),  # asked of every object that comes in
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", ID, primary_key=True),
    Column("artefact_id", ID, ForeignKey("artefacts.id"), nullable=False),
    Column("job_id", String(36), ForeignKey("jobs.id"), nullable=False, index=True),
    Column("destination", String(80), nullable=False),
    *_state(DeliveryState),
    Column("needs_commitment", Integer, nullable=False, default=0),
    Column("needs_sight", Integer, nullable=False, default=0, server_default="0"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("refusals", Integer, nullable=False, default=0),
    Column("next_at", TIME, nullable=False),
    Column("asked_at", TIME),  # when a proof of what was accepted was last asked for
    Column("asks", Integer, nullable=False, default=0, server_default="0"),  # on this rung
    Column("proof", Text, nullable=False, default="", server_default=""),  # why it ended early
    Column("reached_at", TIME),  # when the destination took it, or may have: it may be there
    Column("last_status", Integer),
    Column("reason", Text, nullable=False, default=""),
    Column("sha256", SHA256),  # of what is sent, where it is not the artefact's own bytes
    Column("released", Integer, nullable=False, default=0, server_default="0"),  # was held
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
    UniqueConstraint("artefact_id", "destination"),
    Index(None, "destination", "state", "next_at"),
)

withdrawals = Table(
    "withdrawals",
    metadata,
    Column("id", ID, primary_key=True),
    Column("job_id", String(36), ForeignKey("jobs.id"), nullable=False),
    Column("destination", String(80), nullable=False),
    Column("reason", String(20), nullable=False),  # domain.rejection.Reason
    Column("words", Text, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("asked_at", TIME, nullable=False),
    Column("ended_at", TIME),  # when the note was written, or found not to be needed
    Column("artefact_id", ID, ForeignKey("artefacts.id")),  # the note; none where nothing arrived
    UniqueConstraint("job_id", "destination"),
    Index(None, "ended_at"),
)

commitments = Table(
    "commitments",
    metadata,
    Column("transaction_uid", UID, primary_key=True),
    Column("job_id", String(36), ForeignKey("jobs.id"), nullable=False),
    Column("destination", String(80), nullable=False),
    Column("requested_at", TIME, nullable=False),
    Column("answered_at", TIME),
    Column("reason", Text, nullable=False, default=""),
)

workers = Table(
    "workers",
    metadata,
    Column("owner", String(200), primary_key=True),
    Column("bundle", Text, nullable=False),
    Column("started_at", TIME, nullable=False),
    Column("seen_at", TIME, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", ID, primary_key=True),
    Column("at", TIME, nullable=False),
    Column("study_id", ID, ForeignKey("studies.id"), index=True),
    Column("subject", String(20), nullable=False),  # instance, assessment, study, job, delivery
    Column("subject_id", String(64), nullable=False),
    Column("event", String(40), nullable=False),
    Column("from_state", String(20), nullable=False, default=""),
    Column("to_state", String(20), nullable=False, default=""),
    Column("reason", Text, nullable=False, default=""),
    Column("actor", String(200), nullable=False),
)
