"""the first ledger.

Revision: 0001, the first.
This revision must run while the previous version of the code is still up: add, fill, and only in
a later release remove.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Spelled out here, not imported: a revision stays what it was when the tables move on.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UID = sa.String(64)
SHA256 = sa.String(64)
TIME = sa.Float(53)
STATE = sa.String(20)
STUDY_STATES = ("open", "closed")
INSTANCE_STATES = ("kept", "ignored", "conflict")
JOB_STATES = (
    "queued", "analysing", "analysed", "delivered", "confirmed", "held", "unsuitable", "failed",
)  # fmt: skip
DELIVERY_STATES = ("waiting", "sent", "accepted", "committed", "seen", "refused", "unknown")


def upgrade() -> None:
    _receiving()
    _analysing()
    _delivering()
    _watching()


def _receiving() -> None:
    op.create_table(
        "associations",
        sa.Column("id", ID, nullable=False),
        sa.Column("called_ae", sa.String(16), nullable=False),
        sa.Column("calling_ae", sa.String(16), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("closed_at", TIME),
        sa.Column("ending", sa.String(40)),
        sa.Column("objects", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        _primary_key("associations", "id"),
    )
    op.create_table(
        "studies",
        sa.Column("id", ID, nullable=False),
        sa.Column("study_instance_uid", UID, nullable=False),
        sa.Column("patient_id", sa.Text(), nullable=False),
        sa.Column("accession_number", sa.Text(), nullable=False),
        sa.Column("calling_ae", sa.String(16), nullable=False),
        sa.Column("state", STATE, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("hold_code", sa.String(40)),
        sa.Column("hold_reason", sa.Text()),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("last_received_at", TIME, nullable=False),
        _state_check("studies", STUDY_STATES),
        _primary_key("studies", "id"),
        _unique("studies", "study_instance_uid"),
    )
    _index("studies", "state")
    op.create_table(
        "instances",
        sa.Column("id", ID, nullable=False),
        sa.Column("study_id", ID, nullable=False),
        sa.Column("association_id", ID),
        sa.Column("sop_instance_uid", UID, nullable=False),
        sa.Column("sop_class_uid", UID, nullable=False),
        sa.Column("sha256", SHA256, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("header", sa.JSON(), nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("state", STATE, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        _state_check("instances", INSTANCE_STATES),
        _foreign_key("instances", "study_id", "studies.id"),
        _foreign_key("instances", "association_id", "associations.id"),
        _primary_key("instances", "id"),
        _unique("instances", "sop_instance_uid", "sha256"),
    )
    _index("instances", "study_id")
    _index("instances", "association_id")


def _analysing() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("study_id", ID, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("input_hash", SHA256, nullable=False),
        sa.Column("state", STATE, nullable=False),
        sa.Column("reason_code", sa.String(40), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(200)),
        sa.Column("lease_until", TIME),
        sa.Column("next_at", TIME),
        sa.Column("hinted_at", TIME),
        sa.Column("planned_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("seconds", sa.JSON(), nullable=False),
        _state_check("jobs", JOB_STATES),
        _foreign_key("jobs", "study_id", "studies.id"),
        _primary_key("jobs", "id"),
        _unique("jobs", "study_id", "revision"),
    )
    _index("jobs", "state", "next_at")
    op.create_table(
        "job_inputs",
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("instance_id", ID, nullable=False),
        _foreign_key("job_inputs", "job_id", "jobs.id"),
        _foreign_key("job_inputs", "instance_id", "instances.id"),
        _primary_key("job_inputs", "job_id", "instance_id"),
    )
    op.create_table(
        "artefacts",
        sa.Column("id", ID, nullable=False),
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("key", sa.String(40), nullable=False),
        sa.Column("media_type", sa.String(80), nullable=False),
        sa.Column("sop_class_uid", UID, nullable=False),
        sa.Column("sop_instance_uid", UID, nullable=False),
        sa.Column("sha256", SHA256, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        _foreign_key("artefacts", "job_id", "jobs.id"),
        _primary_key("artefacts", "id"),
        _unique("artefacts", "job_id", "role", "key"),
    )


def _delivering() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", ID, nullable=False),
        sa.Column("artefact_id", ID, nullable=False),
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("destination", sa.String(80), nullable=False),
        sa.Column("state", STATE, nullable=False),
        sa.Column("needs_commitment", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("refusals", sa.Integer(), nullable=False),
        sa.Column("next_at", TIME, nullable=False),
        sa.Column("asked_at", TIME),
        sa.Column("last_status", sa.Integer()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        _state_check("deliveries", DELIVERY_STATES),
        _foreign_key("deliveries", "artefact_id", "artefacts.id"),
        _foreign_key("deliveries", "job_id", "jobs.id"),
        _primary_key("deliveries", "id"),
        _unique("deliveries", "artefact_id", "destination"),
    )
    _index("deliveries", "job_id")
    _index("deliveries", "destination", "state", "next_at")
    op.create_table(
        "commitments",
        sa.Column("transaction_uid", UID, nullable=False),
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("destination", sa.String(80), nullable=False),
        sa.Column("requested_at", TIME, nullable=False),
        sa.Column("answered_at", TIME),
        sa.Column("reason", sa.Text(), nullable=False),
        _foreign_key("commitments", "job_id", "jobs.id"),
        _primary_key("commitments", "transaction_uid"),
    )


def _watching() -> None:
    op.create_table(
        "workers",
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        _primary_key("workers", "owner"),
    )
    op.create_table(
        "events",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("study_id", ID),
        sa.Column("subject", sa.String(20), nullable=False),
        sa.Column("subject_id", sa.String(64), nullable=False),
        sa.Column("event", sa.String(40), nullable=False),
        sa.Column("from_state", STATE, nullable=False),
        sa.Column("to_state", STATE, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        _foreign_key("events", "study_id", "studies.id"),
        _primary_key("events", "id"),
    )
    _index("events", "study_id")


def downgrade() -> None:
    for table in (
        "events",
        "workers",
        "commitments",
        "deliveries",
        "artefacts",
        "job_inputs",
        "jobs",
        "instances",
        "studies",
        "associations",
    ):
        op.drop_table(table)


def _primary_key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def _foreign_key(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=op.f(f"fk_{table}_{column}"))


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_{'_'.join(columns)}"))


def _state_check(table: str, states: tuple[str, ...]) -> sa.CheckConstraint:
    values = ", ".join(f"'{state}'" for state in states)
    return sa.CheckConstraint(f"state IN ({values})", name=op.f(f"ck_{table}_state"))


def _index(table: str, *columns: str) -> None:
    op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns))
