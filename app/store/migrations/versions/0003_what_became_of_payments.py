"""Refunds of a payment, and the operation that sent its capture."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

JSON_DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
SORTED_ID = sa.String(40).with_variant(sa.String(40, collation="C"), "postgresql")

revision: str = "0003"
down_revision: str | None = "0002"

_CAPTURE = "FROM operations WHERE operations.tenant = payments.tenant AND exclusive = 'capture:' || payments.id"


def upgrade() -> None:
    op.add_column("payments", sa.Column("refunded", sa.BigInteger()))
    op.add_column("payments", sa.Column("refunds", JSON_DOCUMENT))
    op.add_column("payments", sa.Column("capture_id", SORTED_ID))
    op.execute(f"UPDATE payments SET capture_id = (SELECT operations.id {_CAPTURE} AND sent_at IS NOT NULL)")
    # Before this revision, only the journal recorded a capture that was sent without a reply.
    op.execute("UPDATE payments SET state = 'UNKNOWN' WHERE state = 'QUOTED' AND capture_id IS NOT NULL")


def downgrade() -> None:
    op.drop_column("payments", "capture_id")
    op.drop_column("payments", "refunds")
    op.drop_column("payments", "refunded")
