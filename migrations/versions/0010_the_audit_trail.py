"""events and their seals can only be added; how far the trail was handed over.

Revision: 0010, after 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
GUARDED = ("events", "seals")

# A row in audit_door, in the same transaction, is the only way to remove what is too old.
SQLITE = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}
WHEN NOT EXISTS (SELECT 1 FROM audit_door)
BEGIN SELECT RAISE(ABORT, '{table} can only be added to'); END
"""
POSTGRESQL = """
CREATE FUNCTION refuse_change() RETURNS trigger AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM audit_door) THEN
    RAISE EXCEPTION '% can only be added to', TG_TABLE_NAME;
  END IF;
  IF TG_OP = 'UPDATE' THEN RETURN NEW; END IF;
  RETURN OLD;
END $$ LANGUAGE plpgsql
"""


def upgrade() -> None:
    op.create_table(
        "seals",
        sa.Column("position", ID, primary_key=True, autoincrement=False),
        sa.Column("event_id", ID, nullable=False, unique=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("sealed_at", sa.Float(53), nullable=False),
    )
    op.create_table("audit_door", sa.Column("opened_by", sa.String(200), primary_key=True))
    op.create_table(
        "audit_cursor",
        sa.Column("name", sa.String(20), primary_key=True),
        sa.Column("position", ID, nullable=False),
        sa.Column("moved_at", sa.Float(53), nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        for table in GUARDED:
            for verb in ("UPDATE", "DELETE"):
                op.execute(SQLITE.format(table=table, verb=verb))
        return
    op.execute(POSTGRESQL)
    for table in GUARDED:
        op.execute(
            f"CREATE TRIGGER {table}_guard BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_whole BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(f"DROP TRIGGER events_no_{verb}")
    else:
        op.execute("DROP TRIGGER events_guard ON events")
        op.execute("DROP TRIGGER events_whole ON events")
    op.drop_table("audit_cursor")
    op.drop_table("seals")
    op.drop_table("audit_door")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION refuse_change")
