"""which certificate a peer must show, and which one a caller has shown.

Revision: 0007, after 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SHOWN = (
    ("tls", sa.String(16), ""),
    ("certificate", sa.String(80), ""),
    ("certificate_names", sa.JSON(), "[]"),
)


def upgrade() -> None:
    demand = sa.Column("certificate", sa.String(255), nullable=False, server_default="")
    op.add_column("peers", demand)
    for name, kind, default in SHOWN:
        column = sa.Column(name, kind, nullable=False, server_default=default)
        op.add_column("associations", column)


def downgrade() -> None:
    for name, _, _ in reversed(SHOWN):
        op.drop_column("associations", name)
    op.drop_column("peers", "certificate")
