"""Customers that were merged into another one: their ids and external ids lead to it.

The merged customer's own row looks erased, so that processes of the version before do not find it.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"


def upgrade() -> None:
    op.create_table(
        "merged_customers",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("external_id", sa.Text()),
        sa.Column("customer_id", sa.String(80), nullable=False),
        sa.Column("merged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("merged_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_merged_customers"),
        sa.ForeignKeyConstraint(
            ["tenant", "customer_id"],
            ["customers.tenant", "customers.id"],
            name="fk_merged_customers_tenant_customer_id",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("tenant", "external_id", name="uq_merged_customers_tenant_external_id"),
    )
    op.create_index("ix_merged_customers_tenant_customer_id", "merged_customers", ["tenant", "customer_id"])


def downgrade() -> None:
    op.drop_table("merged_customers")
