"""Consents to storing a payment method, and who initiated a payment."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    # Kept when the method or the link is deleted: it is evidence. Erasing the customer deletes it.
    op.create_table(
        "consents",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(16), nullable=False),
        sa.Column("customer_ref", sa.Text, nullable=False),
        sa.Column("method_ref", sa.Text, nullable=False),
        sa.Column("customer_id", sa.String(80), nullable=False),
        sa.Column("agreed_by", sa.Text, nullable=False),
        sa.Column("agreed_at", _INSTANT, nullable=False),
        sa.Column("channel", sa.String(32), nullable=False),
        sa.Column("text_sha256", sa.String(64), nullable=False),
        sa.Column("text_version", sa.Text),
        sa.Column("recorded_at", _INSTANT, nullable=False),
        sa.Column("recorded_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "provider", "customer_ref", "method_ref", name="pk_consents"),
        sa.ForeignKeyConstraint(
            ["tenant", "customer_id"],
            ["customers.tenant", "customers.id"],
            name="fk_consents_tenant_customer_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_consents_tenant_customer_id", "consents", ["tenant", "customer_id"])
    op.add_column("payments", sa.Column("initiator", sa.String(16)))
    op.add_column("payments", sa.Column("merchant_reason", sa.String(32)))


def downgrade() -> None:
    op.drop_column("payments", "merchant_reason")
    op.drop_column("payments", "initiator")
    op.drop_table("consents")
