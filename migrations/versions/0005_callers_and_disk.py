"""the log of associations tells what went wrong; peers; which of our titles a study came to; removed images.

Revision: 0005, after 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COLUMNS = (
    ("peer", sa.String(80), ""),
    ("contexts", sa.JSON(), "[]"),
    ("refused", sa.Integer(), "0"),
    ("reason", sa.Text(), ""),
    ("code", sa.String(40), ""),
    ("advice", sa.Text(), ""),
)


def upgrade() -> None:
    for name, kind, default in COLUMNS:
        column = sa.Column(name, kind, nullable=False, server_default=default)
        op.add_column("associations", column)
    op.create_index("ix_associations_opened_at", "associations", ["opened_at"])
    op.create_index("ix_associations_code", "associations", ["code"])
    op.create_table(
        "peers",
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("ae_title", sa.String(16), nullable=False),
        sa.Column("address", sa.String(255), nullable=False),
        sa.Column("called_ae", sa.JSON(), nullable=False),
        sa.Column("services", sa.JSON(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("added_at", sa.Float(53), nullable=False),
        sa.Column("added_by", sa.String(200), nullable=False),
    )
    op.add_column(
        "studies", sa.Column("called_ae", sa.String(16), nullable=False, server_default="")
    )

    op.add_column("instances", sa.Column("removed_at", sa.Float(53)))
    op.add_column(
        "instances", sa.Column("erased", sa.Integer(), nullable=False, server_default="0")
    )


def downgrade() -> None:
    # Not in a batch: that makes the table anew, and others refer to its rows.
    op.drop_column("instances", "erased")
    op.drop_column("instances", "removed_at")
    op.drop_column("studies", "called_ae")
    op.drop_table("peers")
    op.drop_index("ix_associations_code", "associations")
    op.drop_index("ix_associations_opened_at", "associations")
    for name, _, _ in reversed(COLUMNS):
        op.drop_column("associations", name)
