"""A customer may be a business, which has no first and last name."""

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    op.add_column("customers", sa.Column("business_name", sa.Text()))


def downgrade() -> None:
    op.drop_column("customers", "business_name")
