"""the log of associations tells what went wrong.

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


def downgrade() -> None:
    op.drop_index("ix_associations_code", "associations")
    op.drop_index("ix_associations_opened_at", "associations")
    with op.batch_alter_table("associations") as associations:
        for name, _, _ in reversed(COLUMNS):
            associations.drop_column(name)
