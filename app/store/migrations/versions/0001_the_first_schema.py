"""The first schema. Each table has a `tenant` column.

No column may hold a card or account number, a token, or a plaintext credential. Amounts are integers in minor units.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

INSTANT = sa.DateTime(timezone=True)
JSON_DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
# Ids used as cursors: compared by bytes, independent of the database's collation.
SORTED_ID = sa.String(40).with_variant(sa.String(40, collation="C"), "postgresql")

revision: str = "0001"
down_revision: str | None = None

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _key(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _needed(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _table(name: str, *items: sa.Column[Any] | sa.Constraint | sa.Index) -> None:
    sa.Table(name, metadata, _key("tenant", sa.String(64)), *items)


def _of_customer() -> sa.Constraint:
    return sa.ForeignKeyConstraint(["tenant", "customer_id"], ["customers.tenant", "customers.id"], ondelete="CASCADE")


def _of_client() -> sa.Constraint:
    return sa.ForeignKeyConstraint(["tenant", "client"], ["clients.tenant", "clients.name"], ondelete="CASCADE")


# One row per tenant, locked and written last in each transaction with changes or events: orders the commits.
_table(
    "heads",
    _needed("version", sa.BigInteger),
    _needed("pruned_to", sa.BigInteger),
    sa.Column("last_event_id", SORTED_ID),
)
_table(
    "changes",
    _key("version", sa.BigInteger),
    _needed("topic", sa.String(32)),
    _needed("key", sa.Text),
    _needed("changed_at", INSTANT),
    sa.Index(None, "tenant", "changed_at"),
)
_table(
    "customers",
    _key("id", sa.String(80)),
    sa.Column("external_id", sa.Text),
    sa.Column("first_name", sa.Text),
    sa.Column("last_name", sa.Text),
    sa.Column("email", sa.Text),
    sa.Column("phone", sa.Text),
    _needed("created_at", INSTANT),
    sa.Column("erased_at", INSTANT),
    sa.UniqueConstraint("tenant", "external_id"),
)
# Maps vault customers, by the vault's canonical ref, to customers; a customer has at most one record per vault.
_table(
    "links",
    _key("provider", sa.String(16)),
    _key("customer_ref", sa.Text),
    _needed("customer_id", sa.String(80)),
    _needed("proof", sa.String(32)),
    _needed("linked_at", INSTANT),
    _needed("linked_by", sa.Text),
    sa.Column("seen_at", INSTANT),
    sa.UniqueConstraint("tenant", "customer_id", "provider"),
    _of_customer(),
)
_table(
    "choices",
    _key("customer_id", sa.String(80)),
    _needed("provider", sa.String(16)),
    _needed("customer_ref", sa.Text),
    _needed("method_ref", sa.Text),
    _needed("allow_expired", sa.Boolean),
    _needed("set_at", INSTANT),
    _needed("set_by", sa.Text),
    _of_customer(),
)
_table(
    "nicknames",
    _key("provider", sa.String(16)),
    _key("customer_ref", sa.Text),
    _key("method_ref", sa.Text),
    _needed("customer_id", sa.String(80)),
    _needed("nickname", sa.Text),
    sa.Index(None, "tenant", "customer_id"),
    _of_customer(),
)
# Payment methods last observed at each vault: for webhooks, detection of external changes, and expiry events.
_table(
    "methods",
    _key("provider", sa.String(16)),
    _key("customer_ref", sa.Text),
    _key("method_ref", sa.Text),
    _needed("customer_id", sa.String(80)),
    _needed("etag", sa.String(64)),
    _needed("status", sa.String(32)),
    sa.Column("expiry", sa.String(7)),
    _needed("seen_at", INSTANT),
    sa.Index(None, "tenant", "customer_id"),
    sa.Index(None, "tenant", "provider", "method_ref"),
    sa.Index(None, "tenant", "expiry"),
    _of_customer(),
)
_table(
    "owners",
    _key("id", sa.String(64)),
    _needed("host", sa.Text),
    _needed("pid", sa.Integer),
    _needed("started_at", INSTANT),
    _needed("beat_at", INSTANT),
    sa.Column("stopped_at", INSTANT),
)
_table(
    "operations",
    _key("id", SORTED_ID),
    _needed("caller", sa.Text),
    _needed("mutation", sa.String(64)),
    sa.Column("key_hash", sa.String(64)),
    _needed("input_digest", sa.String(64)),
    sa.Column("exclusive", sa.Text),
    sa.Column("customer_id", sa.String(80)),
    sa.Column("provider", sa.String(16)),
    _needed("state", sa.String(16)),
    sa.Column("outcome", sa.String(16)),
    _needed("is_final", sa.Boolean),
    _needed("epoch", sa.Integer),
    _needed("owner_id", sa.String(64)),
    _needed("deadline_at", INSTANT),
    sa.Column("sent_at", INSTANT),
    sa.Column("reconcile_at", INSTANT),
    _needed("looks", sa.Integer),
    _needed("intent", JSON_DOCUMENT),
    _needed("result", JSON_DOCUMENT),
    sa.Column("request_id", sa.Text),
    _needed("created_at", INSTANT),
    sa.Column("finished_at", INSTANT),
    sa.UniqueConstraint("tenant", "caller", "mutation", "key_hash"),
    sa.UniqueConstraint("tenant", "exclusive"),
    sa.Index(None, "tenant", "customer_id", "state"),
    sa.Index(None, "tenant", "state", "owner_id"),
    sa.Index(None, "tenant", "created_at"),
    sa.CheckConstraint("state IN ('PENDING', 'SUCCEEDED', 'PARTIAL', 'FAILED', 'UNKNOWN')", name="ck_operations_state"),
)
_table(
    "operation_results",
    _key("operation_id", SORTED_ID),
    _key("row", sa.Integer),
    _needed("provider", sa.String(16)),
    _needed("state", sa.String(16)),
    _needed("outcome", sa.String(16)),
    sa.Column("customer_ref", sa.Text),
    sa.Column("method_ref", sa.Text),
    sa.Column("error", JSON_DOCUMENT),
    sa.ForeignKeyConstraint(["tenant", "operation_id"], ["operations.tenant", "operations.id"], ondelete="CASCADE"),
)
_table(
    "events",
    _key("id", SORTED_ID),
    _needed("type", sa.String(48)),
    _needed("origin", sa.String(32)),
    _needed("occurred_at", INSTANT),
    sa.Column("customer_id", sa.String(80)),
    sa.Column("provider", sa.String(16)),
    sa.Column("customer_ref", sa.Text),
    sa.Column("method_ref", sa.Text),
    sa.Column("actor", sa.Text),
    sa.Column("outcome", sa.String(32)),
    sa.Column("request_id", sa.Text),
    sa.Column("once", sa.String(160)),
    _needed("detail", JSON_DOCUMENT),
    sa.UniqueConstraint("tenant", "once"),
    sa.Index(None, "tenant", "customer_id", "id"),
)
_table(
    "payments",
    _key("id", SORTED_ID),
    _needed("customer_id", sa.String(80)),
    _needed("provider", sa.String(16)),
    _needed("customer_ref", sa.Text),
    _needed("method_ref", sa.Text),
    sa.Column("payment_ref", sa.Text),
    _needed("state", sa.String(32)),
    _needed("currency", sa.String(3)),
    _needed("amount", sa.BigInteger),
    sa.Column("tax", sa.BigInteger),
    sa.Column("fee", sa.BigInteger),
    sa.Column("total", sa.BigInteger),
    _needed("reference", sa.Text),
    sa.Column("decline_code", sa.Text),
    _needed("quote", JSON_DOCUMENT),
    _needed("created_at", INSTANT),
    _needed("updated_at", INSTANT),
    sa.UniqueConstraint("tenant", "provider", "payment_ref"),
    sa.Index(None, "tenant", "customer_id", "id"),
    _of_customer(),
)
_table(
    "clients",
    _key("name", sa.String(80)),
    _needed("scopes", JSON_DOCUMENT),
    _needed("sees_all_customers", sa.Boolean),
    _needed("created_at", INSTANT),
    sa.Column("disabled_at", INSTANT),
)
_table(
    "client_keys",
    _key("key_hash", sa.String(128)),
    _needed("client", sa.String(80)),
    _needed("created_at", INSTANT),
    sa.Column("expires_at", INSTANT),
    sa.Index(None, "tenant", "client"),
    _of_client(),
)
_table(
    "client_grants",
    _key("client", sa.String(80)),
    _key("customer_id", sa.String(80)),
    _needed("granted_at", INSTANT),
    _of_client(),
    _of_customer(),
)
_table(
    "documents",
    _key("client", sa.String(80)),
    _key("document_id", sa.String(255)),
    _needed("text", sa.Text),
    _needed("sha256", sa.String(64)),
    sa.Column("operation_name", sa.Text),
    _needed("operation_kind", sa.String(16)),
    _needed("cost", sa.Integer),
    _needed("version", sa.Integer),
    _needed("published_at", INSTANT),
    sa.Column("retired_at", INSTANT),
    _needed("uses", sa.BigInteger),
    sa.Column("last_used_at", INSTANT),
    sa.Index(None, "tenant", "client", "sha256"),
    _of_client(),
)
_table(
    "receipts",
    _key("id", SORTED_ID),
    _needed("source", sa.String(32)),
    _needed("account", sa.String(128)),
    _needed("delivery_id", sa.String(255)),
    _needed("event_type", sa.String(128)),
    _needed("lane", sa.Text),
    _needed("body", JSON_DOCUMENT),
    _needed("state", sa.String(16)),
    _needed("attempts", sa.Integer),
    sa.Column("error", sa.Text),
    _needed("received_at", INSTANT),
    sa.Column("next_attempt_at", INSTANT),
    sa.Column("claimed_by", sa.String(64)),
    sa.Column("claimed_until", INSTANT),
    sa.Column("done_at", INSTANT),
    sa.UniqueConstraint("tenant", "source", "account", "delivery_id"),
    sa.Index(None, "tenant", "state", "next_attempt_at"),
    sa.Index(None, "tenant", "lane", "state", "id"),
    sa.CheckConstraint("state IN ('RECEIVED', 'DONE', 'DEAD')", name="ck_receipts_state"),
)
_table(
    "imports",
    _key("key", sa.String(255)),
    _needed("content_digest", sa.String(64)),
    _needed("started_by", sa.Text),
    _needed("next_row", sa.BigInteger),
    _needed("next_offset", sa.BigInteger),
    _needed("counts", JSON_DOCUMENT),
    _needed("started_at", INSTANT),
    _needed("updated_at", INSTANT),
    sa.Column("finished_at", INSTANT),
)


def upgrade() -> None:
    metadata.create_all(op.get_bind(), checkfirst=False)


def downgrade() -> None:
    metadata.drop_all(op.get_bind(), checkfirst=False)
