"""Webhook endpoints of partners and staff, and what was delivered to each."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_INSTANT = sa.DateTime(timezone=True)
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_SORTED_ID = sa.String(40).with_variant(sa.String(40, collation="C"), "postgresql")


def upgrade() -> None:
    # `client` is NULL for an endpoint of staff. `secret` and `old_secret` are encrypted under the digest key whose name
    # is `secret_key`. Events up to `starts_after` are not delivered.
    op.create_table(
        "endpoints",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("client", sa.String(80)),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("types", _JSON, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("old_secret", sa.Text),
        sa.Column("old_secret_until", _INSTANT),
        sa.Column("secret_key", sa.String(16), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("starts_after", _SORTED_ID),
        sa.Column("disabled_at", _INSTANT),
        sa.Column("disabled_reason", sa.String(32)),
        sa.Column("failing_since", _INSTANT),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_endpoints"),
        sa.ForeignKeyConstraint(
            ["tenant", "client"], ["clients.tenant", "clients.name"], name="fk_endpoints_tenant", ondelete="CASCADE"
        ),
    )
    # `next_attempt_at` of a delivery is not earlier than that of the customer's first one that is PENDING. After
    # `expires_at` it is not tried again.
    op.create_table(
        "endpoint_deliveries",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("endpoint_id", sa.String(32), nullable=False),
        sa.Column("event_id", _SORTED_ID, nullable=False),
        sa.Column("customer_id", sa.String(80), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.String(64)),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("next_attempt_at", _INSTANT),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.Column("claimed_by", sa.String(64)),
        sa.Column("claimed_until", _INSTANT),
        sa.Column("done_at", _INSTANT),
        sa.PrimaryKeyConstraint("tenant", "endpoint_id", "event_id", name="pk_endpoint_deliveries"),
        sa.ForeignKeyConstraint(
            ["tenant", "endpoint_id"],
            ["endpoints.tenant", "endpoints.id"],
            name="fk_endpoint_deliveries_tenant",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "state IN ('PENDING', 'DELIVERED', 'WITHHELD', 'DEAD')", name="ck_endpoint_deliveries_state"
        ),
    )
    op.create_index(
        "ix_endpoint_deliveries_tenant_state",
        "endpoint_deliveries",
        ["tenant", "state", "endpoint_id", "next_attempt_at", "event_id"],
    )
    op.create_index(
        "ix_endpoint_deliveries_tenant_endpoint_id",
        "endpoint_deliveries",
        ["tenant", "endpoint_id", "customer_id", "state", "event_id"],
    )
    # Up to which event deliveries were made.
    op.create_table(
        "endpoint_positions",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("event_id", _SORTED_ID, nullable=False),
        sa.PrimaryKeyConstraint("tenant", name="pk_endpoint_positions"),
    )


def downgrade() -> None:
    for table in ("endpoint_positions", "endpoint_deliveries", "endpoints"):
        op.drop_table(table)
