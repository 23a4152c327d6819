"""results taken back.

Revision: 0003, after 0002.
This revision must run while the previous version of the code is still up: add, fill, and only in
a later release remove.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.Float(53)
JOB_STATES = (
    "queued", "analysing", "analysed", "delivered", "confirmed", "held", "unsuitable", "failed",
)  # fmt: skip
DELIVERY_STATES = ("waiting", "sent", "accepted", "committed", "seen", "refused", "unknown")


def upgrade() -> None:
    _permit("jobs", JOB_STATES, (*JOB_STATES, "withdrawn"))
    _permit("deliveries", DELIVERY_STATES, (*DELIVERY_STATES, "cancelled"))
    op.add_column("deliveries", sa.Column("reached_at", TIME))
    op.execute(
        "UPDATE deliveries SET reached_at = updated_at "
        "WHERE state IN ('sent', 'accepted', 'committed', 'seen', 'unknown')"
    )
    op.create_index("ix_artefacts_sop_instance_uid", "artefacts", ["sop_instance_uid"])
    op.create_table(
        "withdrawals",
        sa.Column("id", ID, primary_key=True),
        sa.Column("job_id", sa.String(36), sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("destination", sa.String(80), nullable=False),
        sa.Column("reason", sa.String(20), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("asked_at", TIME, nullable=False),
        sa.Column("ended_at", TIME),
        sa.Column("artefact_id", ID, sa.ForeignKey("artefacts.id")),
        sa.UniqueConstraint("job_id", "destination"),
    )
    op.create_index("ix_withdrawals_ended_at", "withdrawals", ["ended_at"])


def downgrade() -> None:
    op.drop_table("withdrawals")
    op.drop_index("ix_artefacts_sop_instance_uid", "artefacts")
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.drop_column("reached_at")
    op.execute("UPDATE jobs SET state = 'delivered' WHERE state = 'withdrawn'")
    op.execute("UPDATE deliveries SET state = 'refused' WHERE state = 'cancelled'")
    _permit("deliveries", (*DELIVERY_STATES, "cancelled"), DELIVERY_STATES)
    _permit("jobs", (*JOB_STATES, "withdrawn"), JOB_STATES)


def _permit(table: str, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    """Change the states that a table's CHECK permits."""
    name = f"ck_{table}_state"
    if op.get_bind().dialect.name == "sqlite":
        _write_schema(table, _check(before), _check(after))
        return
    op.drop_constraint(op.f(name), table)
    op.create_check_constraint(op.f(name), table, _check(after))


def _check(states: tuple[str, ...]) -> str:
    values = ", ".join(f"'{state}'" for state in states)
    return f"state IN ({values})"


def _write_schema(table: str, before: str, after: str) -> None:
    """SQLite alters no CHECK, and a table that others refer to cannot be made anew in a transaction.

    What is left is the way of its documentation (lang_altertable, section 7): the text of the
    schema is changed, which is allowed where no stored row becomes invalid by it.
    """
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema=ON")
    connection.exec_driver_sql(
        "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = ?",
        (before, after, table),
    )
    connection.exec_driver_sql(f"PRAGMA schema_version={version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema=OFF")
