"""The 3-D Secure status last seen."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("methods", sa.Column("auth_status", sa.String(32)))
    op.add_column("methods", sa.Column("auth_seen_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("methods", "auth_seen_at")
    op.drop_column("methods", "auth_status")
