"""Operator commands become a separate caller.

Before, they shared ``staff:operator`` with tokens of that subject. An import that was interrupted before the upgrade
finds its operations under the new caller's key.
"""

from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    op.execute("UPDATE operations SET caller = 'operator' WHERE caller = 'staff:operator'")


def downgrade() -> None:
    op.execute("UPDATE operations SET caller = 'staff:operator' WHERE caller = 'operator'")
