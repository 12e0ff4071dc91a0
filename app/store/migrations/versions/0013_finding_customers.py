"""Indexes to find customers by e-mail address, external id, vault and time, and methods by their expiry.

They hold nothing that their tables do not hold as readable text already.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"

_INDEXES = (
    ("ix_customers_tenant_email", "customers", ("tenant", "lower(email)", "id")),
    ("ix_customers_tenant_created_at_id", "customers", ("tenant", "created_at", "id")),
    ("ix_links_tenant_provider_customer_id", "links", ("tenant", "provider", "customer_id")),
)
_EXPIRY = "ix_methods_tenant_expiry_method"
_PREFIX = "ix_customers_tenant_external_id"


def upgrade() -> None:
    for name, table, columns in _INDEXES:
        op.create_index(name, table, [sa.text(one) for one in columns])
    active = sa.text("status = 'ACTIVE'")
    place = ["tenant", "expiry", "provider", "customer_ref", "method_ref"]
    op.create_index(_EXPIRY, "methods", place, postgresql_where=active, sqlite_where=active)
    if op.get_bind().dialect.name == "postgresql":  # SQLite's unique index compares bytes already
        op.create_index(_PREFIX, "customers", ["tenant", sa.text('external_id COLLATE "C"')])


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index(_PREFIX, "customers")
    op.drop_index(_EXPIRY, "methods")
    for name, table, _ in _INDEXES:
        op.drop_index(name, table)
