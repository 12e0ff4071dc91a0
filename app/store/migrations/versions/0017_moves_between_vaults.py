"""Payment methods that move to another vault: each pair, until the new method was seen."""

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"


def upgrade() -> None:
    op.create_table(
        "method_moves",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(16), nullable=False),
        sa.Column("customer_ref", sa.Text(), nullable=False),
        sa.Column("method_ref", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.String(80), nullable=False),
        sa.Column("new_provider", sa.String(16), nullable=False),
        sa.Column("new_customer_ref", sa.Text(), nullable=False),
        sa.Column("new_method_ref", sa.Text(), nullable=False),
        sa.Column("moved_by", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("tenant", "provider", "customer_ref", "method_ref", name="pk_method_moves"),
        sa.ForeignKeyConstraint(
            ["tenant", "customer_id"],
            ["customers.tenant", "customers.id"],
            name="fk_method_moves_tenant_customer_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_method_moves_tenant_customer_id", "method_moves", ["tenant", "customer_id"])
    pending = sa.text("done_at IS NULL")
    op.create_index(
        "ix_method_moves_tenant_pending",
        "method_moves",
        ["tenant", "provider", "customer_ref", "method_ref"],
        postgresql_where=pending,
        sqlite_where=pending,
    )


def downgrade() -> None:
    op.drop_table("method_moves")
