"""files of rows that are missing or have changed; hashes are looked for.

Revision: 0006, after 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = ("instances", "artefacts")


def upgrade() -> None:
    for table in TABLES:
        column = sa.Column("fault", sa.String(10), nullable=False, server_default="")
        op.add_column(table, column)
        op.create_index(f"ix_{table}_sha256", table, ["sha256"])


def downgrade() -> None:
    # Not in a batch: that makes the table anew, and others refer to its rows.
    for table in TABLES:
        op.drop_index(f"ix_{table}_sha256", table)
        op.drop_column(table, "fault")
