"""The methods that were tried for a payment with backup methods."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_INSTANT = sa.DateTime(timezone=True)
_SORTED_ID = sa.String(40).with_variant(sa.String(40, collation="C"), "postgresql")


def upgrade() -> None:
    # `payments` has the columns of the attempt that decides the payment. `payment_ref` is NULL for a method without a
    # quote.
    op.create_table(
        "payment_attempts",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("payment_id", _SORTED_ID, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("provider", sa.String(16), nullable=False),
        sa.Column("customer_ref", sa.Text, nullable=False),
        sa.Column("method_ref", sa.Text, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("payment_ref", sa.Text),
        sa.Column("fee", sa.BigInteger),
        sa.Column("total", sa.BigInteger),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("decline_code", sa.Text),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "payment_id", "number", name="pk_payment_attempts"),
        sa.UniqueConstraint("tenant", "provider", "payment_ref", name="uq_payment_attempts_tenant"),
        sa.ForeignKeyConstraint(
            ["tenant", "payment_id"], ["payments.tenant", "payments.id"], name="fk_payment_attempts_tenant"
        ),
    )


def downgrade() -> None:
    op.drop_table("payment_attempts")
