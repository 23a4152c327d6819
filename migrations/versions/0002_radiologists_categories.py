"""radiologists' BI-RADS categories.

Revision: 0002, after 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "assessments",
        sa.Column("id", ID, primary_key=True),
        sa.Column("study_id", ID, sa.ForeignKey("studies.id"), nullable=False),
        sa.Column("laterality", sa.String(1), nullable=False),
        sa.Column("category", sa.String(2), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("given_at", sa.Float(53), nullable=False),
        sa.UniqueConstraint("study_id", "laterality"),
    )
    # The default serves jobs that are there, and those that a node of before still makes.
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("assessments", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_column("assessments")
    op.drop_table("assessments")
