"""objects that take another's place, deliveries that are held.

Revision: 0004, after 0003.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BEFORE = (
    "waiting", "sent", "accepted", "committed", "seen", "refused", "unknown", "cancelled",
)  # fmt: skip
AFTER = (*BEFORE, "replaced", "held")
# Of what such a state was before there was one: a person looks at it either way.
FORMER = {"replaced": "refused", "held": "waiting"}


def upgrade() -> None:
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.add_column(sa.Column("sha256", sa.String(64)))
        deliveries.add_column(
            sa.Column("released", sa.Integer(), nullable=False, server_default="0")
        )
        _allow(deliveries, AFTER)


def downgrade() -> None:
    for state, former in FORMER.items():
        op.execute(
            sa.text("UPDATE deliveries SET state = :former WHERE state = :state").bindparams(
                former=former, state=state
            )
        )
    with op.batch_alter_table("deliveries") as deliveries:
        _allow(deliveries, BEFORE)
        deliveries.drop_column("released")
        deliveries.drop_column("sha256")


def _allow(deliveries: BatchOperations, states: tuple[str, ...]) -> None:
    values = ", ".join(f"'{state}'" for state in states)
    deliveries.drop_constraint(op.f("ck_deliveries_state"), type_="check")
    deliveries.create_check_constraint(op.f("ck_deliveries_state"), f"state IN ({values})")
