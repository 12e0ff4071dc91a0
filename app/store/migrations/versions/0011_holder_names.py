"""The holder's name of methods whose vault never shows it, beside the nickname, which may then be empty."""

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"


def upgrade() -> None:
    op.add_column("nicknames", sa.Column("holder_name", sa.Text()))


def downgrade() -> None:
    op.drop_column("nicknames", "holder_name")
