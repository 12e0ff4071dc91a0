"""Defaults kept when a method was added, and since when a vault's lists lack the stored default."""

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    op.add_column("choices", sa.Column("is_kept", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("choices", sa.Column("missing_since", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("choices", "missing_since")
    op.drop_column("choices", "is_kept")
