"""destinations that are down, classes that they do not take, rungs of the proof.

Revision: 0009, after 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

COLUMNS = (
    ("needs_sight", sa.Integer(), "0"),
    ("asks", sa.Integer(), "0"),
    ("proof", sa.Text(), ""),
)


def upgrade() -> None:
    for name, kind, default in COLUMNS:
        column = sa.Column(name, kind, nullable=False, server_default=default)
        op.add_column("deliveries", column)
    op.create_table(
        "reaches",
        sa.Column("destination", sa.String(80), primary_key=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("down_since", sa.Float(53)),
        sa.Column("probe_at", sa.Float(53)),
        sa.Column("reason", sa.Text(), nullable=False),
    )
    op.create_table(
        "not_taken",
        sa.Column("destination", sa.String(80), primary_key=True),
        sa.Column("sop_class_uid", sa.String(64), primary_key=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("not_taken")
    op.drop_table("reaches")
    # Not in a batch: that makes the table anew, and others refer to its rows.
    for name, _, _ in reversed(COLUMNS):
        op.drop_column("deliveries", name)
