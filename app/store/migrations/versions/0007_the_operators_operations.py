"""Operator commands are a caller of their own.

Their operations were those of ``staff:operator``, which a token of that subject is too. An import that was cut short
before the upgrade finds its operations under the key that goes on with it.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("UPDATE operations SET caller = 'operator' WHERE caller = 'staff:operator'")


def downgrade() -> None:
    op.execute("UPDATE operations SET caller = 'staff:operator' WHERE caller = 'operator'")
