"""The first schema."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

INSTANT = sa.DateTime(timezone=True)
JSON_DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
SORTED_ID = sa.String(40).with_variant(sa.String(40, collation="C"), "postgresql")

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("topic", sa.String(32), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "version", name="pk_changes"),
    )
    op.create_index("ix_changes_tenant_changed_at", "changes", ["tenant", "changed_at"])
    op.create_table(
        "clients",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("scopes", JSON_DOCUMENT, nullable=False),
        sa.Column("sees_all_customers", sa.Boolean(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("disabled_at", INSTANT),
        sa.PrimaryKeyConstraint("tenant", "name", name="pk_clients"),
    )
    op.create_table(
        "customers",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("external_id", sa.Text()),
        sa.Column("first_name", sa.Text()),
        sa.Column("last_name", sa.Text()),
        sa.Column("email", sa.Text()),
        sa.Column("phone", sa.Text()),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("erased_at", INSTANT),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_customers"),
        sa.UniqueConstraint("tenant", "external_id", name="uq_customers_tenant_external_id"),
    )
    op.create_table(
        "events",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", SORTED_ID, nullable=False),
        sa.Column("type", sa.String(48), nullable=False),
        sa.Column("origin", sa.String(32), nullable=False),
        sa.Column("occurred_at", INSTANT, nullable=False),
        sa.Column("customer_id", sa.String(80)),
        sa.Column("provider", sa.String(16)),
        sa.Column("customer_ref", sa.Text()),
        sa.Column("method_ref", sa.Text()),
        sa.Column("actor", sa.Text()),
        sa.Column("outcome", sa.String(32)),
        sa.Column("request_id", sa.Text()),
        sa.Column("once", sa.String(160)),
        sa.Column("detail", JSON_DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_events"),
        sa.UniqueConstraint("tenant", "once", name="uq_events_tenant_once"),
    )
    op.create_index("ix_events_tenant_customer_id_id", "events", ["tenant", "customer_id", "id"])
    op.create_table(
        "heads",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("pruned_to", sa.BigInteger(), nullable=False),
        sa.Column("last_event_id", SORTED_ID),
        sa.PrimaryKeyConstraint("tenant", name="pk_heads"),
    )
    op.create_table(
        "imports",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("content_digest", sa.String(64), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("next_row", sa.BigInteger(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("counts", JSON_DOCUMENT, nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT),
        sa.PrimaryKeyConstraint("tenant", "key", name="pk_imports"),
    )
    op.create_table(
        "operations",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", SORTED_ID, nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("mutation", sa.String(64), nullable=False),
        sa.Column("key_hash", sa.String(64)),
        sa.Column("input_digest", sa.String(64), nullable=False),
        sa.Column("exclusive", sa.Text()),
        sa.Column("customer_id", sa.String(80)),
        sa.Column("provider", sa.String(16)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("is_final", sa.Boolean(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.String(64), nullable=False),
        sa.Column("deadline_at", INSTANT, nullable=False),
        sa.Column("sent_at", INSTANT),
        sa.Column("reconcile_at", INSTANT),
        sa.Column("looks", sa.Integer(), nullable=False),
        sa.Column("intent", JSON_DOCUMENT, nullable=False),
        sa.Column("result", JSON_DOCUMENT, nullable=False),
        sa.Column("request_id", sa.Text()),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT),
        sa.CheckConstraint(
            "state IN ('PENDING', 'SUCCEEDED', 'PARTIAL', 'FAILED', 'UNKNOWN')", name="ck_operations_state"
        ),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_operations"),
        sa.UniqueConstraint(
            "tenant", "caller", "mutation", "key_hash", name="uq_operations_tenant_caller_mutation_key_hash"
        ),
        sa.UniqueConstraint("tenant", "exclusive", name="uq_operations_tenant_exclusive"),
    )
    op.create_index("ix_operations_tenant_created_at", "operations", ["tenant", "created_at"])
    op.create_index("ix_operations_tenant_customer_id_state", "operations", ["tenant", "customer_id", "state"])
    op.create_index("ix_operations_tenant_state_owner_id", "operations", ["tenant", "state", "owner_id"])
    op.create_table(
        "owners",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("beat_at", INSTANT, nullable=False),
        sa.Column("stopped_at", INSTANT),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_owners"),
    )
    op.create_table(
        "receipts",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", SORTED_ID, nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("account", sa.String(128), nullable=False),
        sa.Column("delivery_id", sa.String(255), nullable=False),
        sa.Column("event_type", sa.String(128), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("body", JSON_DOCUMENT, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("next_attempt_at", INSTANT),
        sa.Column("claimed_by", sa.String(64)),
        sa.Column("claimed_until", INSTANT),
        sa.Column("done_at", INSTANT),
        sa.CheckConstraint("state IN ('RECEIVED', 'DONE', 'DEAD')", name="ck_receipts_state"),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_receipts"),
        sa.UniqueConstraint(
            "tenant", "source", "account", "delivery_id", name="uq_receipts_tenant_source_account_delivery_id"
        ),
    )
    op.create_index("ix_receipts_tenant_lane_state_id", "receipts", ["tenant", "lane", "state", "id"])
    op.create_index("ix_receipts_tenant_state_next_attempt_at", "receipts", ["tenant", "state", "next_attempt_at"])
    op.create_table(
        "choices",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("customer_id", sa.String(80), nullable=False),
        sa.Column("provider", sa.String(16), nullable=False),
        sa.Column("customer_ref", sa.Text(), nullable=False),
        sa.Column("method_ref", sa.Text(), nullable=False),
        sa.Column("allow_expired", sa.Boolean(), nullable=False),
        sa.Column("set_at", INSTANT, nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "customer_id"],
            ["customers.tenant", "customers.id"],
            name="fk_choices_tenant_customer_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "customer_id", name="pk_choices"),
    )
    op.create_table(
        "client_grants",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("client", sa.String(80), nullable=False),
        sa.Column("customer_id", sa.String(80), nullable=False),
        sa.Column("granted_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "client"],
            ["clients.tenant", "clients.name"],
            name="fk_client_grants_tenant_client",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant", "customer_id"],
            ["customers.tenant", "customers.id"],
            name="fk_client_grants_tenant_customer_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "client", "customer_id", name="pk_client_grants"),
    )
    op.create_table(
        "client_keys",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("key_hash", sa.String(128), nullable=False),
        sa.Column("client", sa.String(80), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT),
        sa.ForeignKeyConstraint(
            ["tenant", "client"],
            ["clients.tenant", "clients.name"],
            name="fk_client_keys_tenant_client",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "key_hash", name="pk_client_keys"),
    )
    op.create_index("ix_client_keys_tenant_client", "client_keys", ["tenant", "client"])
    op.create_table(
        "documents",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("client", sa.String(80), nullable=False),
        sa.Column("document_id", sa.String(255), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("operation_name", sa.Text()),
        sa.Column("operation_kind", sa.String(16), nullable=False),
        sa.Column("cost", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("published_at", INSTANT, nullable=False),
        sa.Column("retired_at", INSTANT),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", INSTANT),
        sa.ForeignKeyConstraint(
            ["tenant", "client"],
            ["clients.tenant", "clients.name"],
            name="fk_documents_tenant_client",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "client", "document_id", name="pk_documents"),
    )
    op.create_index("ix_documents_tenant_client_sha256", "documents", ["tenant", "client", "sha256"])
    op.create_table(
        "links",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(16), nullable=False),
        sa.Column("customer_ref", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.String(80), nullable=False),
        sa.Column("proof", sa.String(32), nullable=False),
        sa.Column("linked_at", INSTANT, nullable=False),
        sa.Column("linked_by", sa.Text(), nullable=False),
        sa.Column("seen_at", INSTANT),
        sa.ForeignKeyConstraint(
            ["tenant", "customer_id"],
            ["customers.tenant", "customers.id"],
            name="fk_links_tenant_customer_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "provider", "customer_ref", name="pk_links"),
        sa.UniqueConstraint("tenant", "customer_id", "provider", name="uq_links_tenant_customer_id_provider"),
    )
    op.create_table(
        "methods",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(16), nullable=False),
        sa.Column("customer_ref", sa.Text(), nullable=False),
        sa.Column("method_ref", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.String(80), nullable=False),
        sa.Column("etag", sa.String(64), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("expiry", sa.String(7)),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "customer_id"],
            ["customers.tenant", "customers.id"],
            name="fk_methods_tenant_customer_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "provider", "customer_ref", "method_ref", name="pk_methods"),
    )
    op.create_index("ix_methods_tenant_customer_id", "methods", ["tenant", "customer_id"])
    op.create_index("ix_methods_tenant_expiry", "methods", ["tenant", "expiry"])
    op.create_index("ix_methods_tenant_provider_method_ref", "methods", ["tenant", "provider", "method_ref"])
    op.create_table(
        "nicknames",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(16), nullable=False),
        sa.Column("customer_ref", sa.Text(), nullable=False),
        sa.Column("method_ref", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.String(80), nullable=False),
        sa.Column("nickname", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "customer_id"],
            ["customers.tenant", "customers.id"],
            name="fk_nicknames_tenant_customer_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "provider", "customer_ref", "method_ref", name="pk_nicknames"),
    )
    op.create_index("ix_nicknames_tenant_customer_id", "nicknames", ["tenant", "customer_id"])
    op.create_table(
        "operation_results",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("operation_id", SORTED_ID, nullable=False),
        sa.Column("row", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("provider", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("customer_ref", sa.Text()),
        sa.Column("method_ref", sa.Text()),
        sa.Column("error", JSON_DOCUMENT),
        sa.ForeignKeyConstraint(
            ["tenant", "operation_id"],
            ["operations.tenant", "operations.id"],
            name="fk_operation_results_tenant_operation_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "operation_id", "row", name="pk_operation_results"),
    )
    op.create_table(
        "payments",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", SORTED_ID, nullable=False),
        sa.Column("customer_id", sa.String(80), nullable=False),
        sa.Column("provider", sa.String(16), nullable=False),
        sa.Column("customer_ref", sa.Text(), nullable=False),
        sa.Column("method_ref", sa.Text(), nullable=False),
        sa.Column("payment_ref", sa.Text()),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tax", sa.BigInteger()),
        sa.Column("fee", sa.BigInteger()),
        sa.Column("total", sa.BigInteger()),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("decline_code", sa.Text()),
        sa.Column("quote", JSON_DOCUMENT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "customer_id"],
            ["customers.tenant", "customers.id"],
            name="fk_payments_tenant_customer_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_payments"),
        sa.UniqueConstraint("tenant", "provider", "payment_ref", name="uq_payments_tenant_provider_payment_ref"),
    )
    op.create_index("ix_payments_tenant_customer_id_id", "payments", ["tenant", "customer_id", "id"])


def downgrade() -> None:
    op.drop_table("payments")
    op.drop_table("operation_results")
    op.drop_table("nicknames")
    op.drop_table("methods")
    op.drop_table("links")
    op.drop_table("documents")
    op.drop_table("client_keys")
    op.drop_table("client_grants")
    op.drop_table("choices")
    op.drop_table("receipts")
    op.drop_table("owners")
    op.drop_table("operations")
    op.drop_table("imports")
    op.drop_table("heads")
    op.drop_table("events")
    op.drop_table("customers")
    op.drop_table("clients")
    op.drop_table("changes")
