"""promises to keep objects; orders to pull images; steps that modalities perform; at which port a peer can be called.

Revision: 0008, after 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _state(table: str, *states: str) -> tuple[sa.Column[str], sa.CheckConstraint]:
    values = ", ".join(f"'{state}'" for state in states)
    return (
        sa.Column("state", sa.String(20), nullable=False),
        sa.CheckConstraint(f"state IN ({values})", name=op.f(f"ck_{table}_state")),
    )


def upgrade() -> None:
    op.add_column("peers", sa.Column("port", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "promises",
        sa.Column("id", ID, primary_key=True),
        sa.Column("transaction_uid", sa.String(64), nullable=False),
        sa.Column("calling_ae", sa.String(16), nullable=False),
        sa.Column("called_ae", sa.String(16), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("objects", sa.JSON(), nullable=False),
        sa.Column("duplicate", sa.Integer(), nullable=False),
        *_state("promises", "asked", "reported", "given_up"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.Float(53), nullable=False),
        sa.Column("asked_at", sa.Float(53), nullable=False),
        sa.Column("reported_at", sa.Float(53)),
        sa.Column("committed", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    )
    op.create_index("ix_promises_transaction_uid", "promises", ["transaction_uid"])
    op.create_index("ix_promises_state_next_at", "promises", ["state", "next_at"])
    op.create_table(
        "procedures",
        sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("calling_ae", sa.String(16), nullable=False),
        *_state("procedures", "in_progress", "completed", "discontinued"),
        sa.Column("images", sa.JSON(), nullable=False),
        sa.Column("began_at", sa.Float(53), nullable=False),
        sa.Column("changed_at", sa.Float(53), nullable=False),
    )
    op.create_index("ix_procedures_study_instance_uid", "procedures", ["study_instance_uid"])
    op.create_table(
        "pulls",
        sa.Column("id", ID, primary_key=True),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("source", sa.String(300), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        *_state("pulls", "ordered", "pulled", "not_pulled"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.Float(53), nullable=False),
        sa.Column("ordered_at", sa.Float(53), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    )
    op.create_index("ix_pulls_study_instance_uid", "pulls", ["study_instance_uid"])
    op.create_index("ix_pulls_state_next_at", "pulls", ["state", "next_at"])


def downgrade() -> None:
    op.drop_table("pulls")
    op.drop_table("procedures")
    op.drop_table("promises")
    op.drop_column("peers", "port")
