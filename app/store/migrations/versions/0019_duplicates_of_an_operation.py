"""Which items of an operation were duplicates, so that a repeat shows it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # The default serves processes of the version before, which insert rows without the column.
    op.add_column(
        "operation_results", sa.Column("was_duplicate", sa.Boolean, nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    op.drop_column("operation_results", "was_duplicate")
