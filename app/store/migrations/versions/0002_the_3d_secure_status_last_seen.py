"""The 3-D Secure status last seen."""

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    op.add_column("methods", sa.Column("auth_status", sa.String(32)))
    op.add_column("methods", sa.Column("auth_seen_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("methods", "auth_seen_at")
    op.drop_column("methods", "auth_status")
