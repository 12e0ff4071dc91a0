"""All tables. Each has a `tenant` column.

No column may hold a card or account number, a token, or a plaintext credential.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from app.store.columns import JSON_DOCUMENT, SORTED_ID, Instant

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _tenant() -> Column[str]:
    return Column("tenant", String(64), primary_key=True)


def _flag(name: str, default: bool) -> Column[Any]:
    return Column(name, Boolean, nullable=False, default=default)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, default=0)


def _of_customer() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant", "customer_id"], ["customers.tenant", "customers.id"], ondelete="CASCADE")


heads = Table(
    "heads",
    metadata,
    _tenant(),
    Column("version", BigInteger, nullable=False),
    Column("pruned_to", BigInteger, nullable=False),
    Column("last_event_id", SORTED_ID),
)
"""One row per tenant, locked and written last in each transaction with changes or events: orders the commits."""

changes = Table(
    "changes",
    metadata,
    _tenant(),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("topic", String(32), nullable=False),
    Column("key", Text, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Index(None, "tenant", "changed_at"),
)

# ---- directory ---------------------------------------------------------------------------------------------

customers = Table(
    "customers",
    metadata,
    _tenant(),
    Column("id", String(80), primary_key=True),
    Column("external_id", Text),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("business_name", Text),
    Column("email", Text),
    Column("phone", Text),
    Column("created_at", Instant, nullable=False),
    Column("erased_at", Instant),
    UniqueConstraint("tenant", "external_id"),
)

links = Table(
    "links",
    metadata,
    _tenant(),
    Column("provider", String(16), primary_key=True),
    Column("customer_ref", Text, primary_key=True),
    Column("customer_id", String(80), nullable=False),
    Column("proof", String(32), nullable=False),
    Column("linked_at", Instant, nullable=False),
    Column("linked_by", Text, nullable=False),
    Column("seen_at", Instant),
    Column("not_found_at", Instant),
    UniqueConstraint("tenant", "customer_id", "provider"),
    _of_customer(),
)
"""Maps vault customers to customers; a customer has at most one record per vault.

`customer_ref` is in the vault's canonical form. `not_found_at` is since when the vault reports it as unknown."""

link_conflicts = Table(
    "link_conflicts",
    metadata,
    _tenant(),
    Column("provider", String(16), primary_key=True),
    Column("customer_id", String(80), primary_key=True),
    Column("customer_ref", Text, nullable=False),
    Column("linked_customer_id", String(80), nullable=False),
    Column("proof", String(32), nullable=False),
    Column("linked_at", Instant, nullable=False),
    Column("linked_by", Text, nullable=False),
    Column("detail", JSON_DOCUMENT, nullable=False),
    _of_customer(),
)
"""Links set aside by a migration: `customer_ref` is another form of a ref to which `linked_customer_id` is linked.

`detail` holds the link's `choice` and `nicknames`. A row is deleted when the customer is linked to that vault again,
unlinked, or erased."""

choices = Table(
    "choices",
    metadata,
    _tenant(),
    Column("customer_id", String(80), primary_key=True),
    Column("provider", String(16), nullable=False),
    Column("customer_ref", Text, nullable=False),
    Column("method_ref", Text, nullable=False),
    _flag("allow_expired", False),
    Column("set_at", Instant, nullable=False),
    Column("set_by", Text, nullable=False),
    _flag("is_kept", False),
    Column("missing_since", Instant),
    _of_customer(),
)

nicknames = Table(
    "nicknames",
    metadata,
    _tenant(),
    Column("provider", String(16), primary_key=True),
    Column("customer_ref", Text, primary_key=True),
    Column("method_ref", Text, primary_key=True),
    Column("customer_id", String(80), nullable=False),
    Column("nickname", Text, nullable=False),
    Index(None, "tenant", "customer_id"),
    _of_customer(),
)

methods = Table(
    "methods",
    metadata,
    _tenant(),
    Column("provider", String(16), primary_key=True),
    Column("customer_ref", Text, primary_key=True),
    Column("method_ref", Text, primary_key=True),
    Column("customer_id", String(80), nullable=False),
    Column("etag", String(64), nullable=False),
    Column("status", String(32), nullable=False),
    Column("expiry", String(7)),
    Column("seen_at", Instant, nullable=False),
    Column("auth_status", String(32)),
    Column("auth_seen_at", Instant),
    Index(None, "tenant", "customer_id"),
    Index(None, "tenant", "provider", "method_ref"),
    Index(None, "tenant", "expiry"),
    _of_customer(),
)
"""Payment methods last observed at each vault: for webhooks, detection of external changes, and expiry events."""

# ---- write journal -----------------------------------------------------------------------------------------

owners = Table(
    "owners",
    metadata,
    _tenant(),
    Column("id", String(64), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("beat_at", Instant, nullable=False),
    Column("stopped_at", Instant),
    Column("keys", JSON_DOCUMENT),
)
"""`keys`: names of the process's keys by setting, in their order; NULL for a version before names."""

operations = Table(
    "operations",
    metadata,
    _tenant(),
    Column("id", SORTED_ID, primary_key=True),
    Column("caller", Text, nullable=False),
    Column("mutation", String(64), nullable=False),
    Column("key_hash", String(64)),
    Column("input_digest", String(64), nullable=False),
    Column("exclusive", Text),
    Column("customer_id", String(80)),
    Column("provider", String(16)),
    Column("state", String(16), nullable=False),
    Column("outcome", String(16)),
    _flag("is_final", False),
    Column("epoch", Integer, nullable=False),
    Column("owner_id", String(64), nullable=False),
    Column("deadline_at", Instant, nullable=False),
    Column("sent_at", Instant),
    Column("reconcile_at", Instant),
    _count("looks"),
    Column("intent", JSON_DOCUMENT, nullable=False),
    Column("result", JSON_DOCUMENT, nullable=False),
    Column("request_id", Text),
    Column("created_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("digest_key", String(16)),
    UniqueConstraint("tenant", "caller", "mutation", "key_hash"),
    UniqueConstraint("tenant", "exclusive"),
    Index(None, "tenant", "customer_id", "state"),
    Index(None, "tenant", "state", "owner_id"),
    Index(None, "tenant", "created_at"),
    CheckConstraint("state IN ('PENDING', 'SUCCEEDED', 'PARTIAL', 'FAILED', 'UNKNOWN')", name="state"),
)
"""`digest_key`: name of the key of `input_digest`; NULL for rows of a version before it."""

operation_results = Table(
    "operation_results",
    metadata,
    _tenant(),
    Column("operation_id", SORTED_ID, primary_key=True),
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("provider", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("customer_ref", Text),
    Column("method_ref", Text),
    Column("error", JSON_DOCUMENT),
    ForeignKeyConstraint(["tenant", "operation_id"], ["operations.tenant", "operations.id"], ondelete="CASCADE"),
)

# ---- events ------------------------------------------------------------------------------------------------

events = Table(
    "events",
    metadata,
    _tenant(),
    Column("id", SORTED_ID, primary_key=True),
    Column("type", String(48), nullable=False),
    Column("origin", String(32), nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("customer_id", String(80)),
    Column("provider", String(16)),
    Column("customer_ref", Text),
    Column("method_ref", Text),
    Column("actor", Text),
    Column("outcome", String(32)),
    Column("request_id", Text),
    Column("once", String(160)),
    Column("detail", JSON_DOCUMENT, nullable=False),
    UniqueConstraint("tenant", "once"),
    Index(None, "tenant", "customer_id", "id"),
)

# ---- payments ----------------------------------------------------------------------------------------------

payments = Table(
    "payments",
    metadata,
    _tenant(),
    Column("id", SORTED_ID, primary_key=True),
    Column("customer_id", String(80), nullable=False),
    Column("provider", String(16), nullable=False),
    Column("customer_ref", Text, nullable=False),
    Column("method_ref", Text, nullable=False),
    Column("payment_ref", Text),
    Column("state", String(32), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("tax", BigInteger),
    Column("fee", BigInteger),
    Column("total", BigInteger),
    Column("reference", Text, nullable=False),
    Column("decline_code", Text),
    Column("refunded", BigInteger),
    Column("refunds", JSON_DOCUMENT),
    Column("capture_id", SORTED_ID),
    Column("quote", JSON_DOCUMENT, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("tenant", "provider", "payment_ref"),
    Index(None, "tenant", "customer_id", "id"),
    _of_customer(),
)
"""Amounts are integers in minor units."""

# ---- partner apps and their documents ----------------------------------------------------------------------

clients = Table(
    "clients",
    metadata,
    _tenant(),
    Column("name", String(80), primary_key=True),
    Column("scopes", JSON_DOCUMENT, nullable=False),
    _flag("sees_all_customers", False),
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
)

client_keys = Table(
    "client_keys",
    metadata,
    _tenant(),
    Column("key_hash", String(128), primary_key=True),
    Column("client", String(80), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("id", String(32), nullable=False),
    Column("digest_key", String(16)),
    Column("last_used_at", Instant),
    Index(None, "tenant", "client"),
    UniqueConstraint("tenant", "id"),
    ForeignKeyConstraint(["tenant", "client"], ["clients.tenant", "clients.name"], ondelete="CASCADE"),
)
"""`key_hash` changes when the digest key is rotated, `id` never. `digest_key`: name of the key of `key_hash`; NULL for
rows of a version before it. `last_used_at` is written at most once per hour."""

key_uses = Table(
    "key_uses",
    metadata,
    _tenant(),
    Column("purpose", String(32), primary_key=True),
    Column("name", String(16), primary_key=True),
    Column("known_since", Instant, nullable=False),
    Column("last_used_at", Instant),
)
"""The gateway's own keys, by name. `last_used_at`: the last use of one that is not the first of its list, written at
most once per hour; shows when it can be removed from the settings."""

client_grants = Table(
    "client_grants",
    metadata,
    _tenant(),
    Column("client", String(80), primary_key=True),
    Column("customer_id", String(80), primary_key=True),
    Column("granted_at", Instant, nullable=False),
    ForeignKeyConstraint(["tenant", "client"], ["clients.tenant", "clients.name"], ondelete="CASCADE"),
    _of_customer(),
)

documents = Table(
    "documents",
    metadata,
    _tenant(),
    Column("client", String(80), primary_key=True),
    Column("document_id", String(255), primary_key=True),
    Column("text", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("operation_name", Text),
    Column("operation_kind", String(16), nullable=False),
    _count("cost"),
    Column("version", Integer, nullable=False),
    Column("published_at", Instant, nullable=False),
    Column("retired_at", Instant),
    Column("uses", BigInteger, nullable=False, default=0),
    Column("last_used_at", Instant),
    Index(None, "tenant", "client", "sha256"),
    ForeignKeyConstraint(["tenant", "client"], ["clients.tenant", "clients.name"], ondelete="CASCADE"),
)

# ---- webhook deliveries and imports ------------------------------------------------------------------------

receipts = Table(
    "receipts",
    metadata,
    _tenant(),
    Column("id", SORTED_ID, primary_key=True),
    Column("source", String(32), nullable=False),
    Column("account", String(128), nullable=False),
    Column("delivery_id", String(255), nullable=False),
    Column("event_type", String(128), nullable=False),
    Column("lane", Text, nullable=False),
    Column("body", JSON_DOCUMENT, nullable=False),
    Column("state", String(16), nullable=False),
    _count("attempts"),
    Column("error", Text),
    Column("received_at", Instant, nullable=False),
    Column("next_attempt_at", Instant),
    Column("claimed_by", String(64)),
    Column("claimed_until", Instant),
    Column("done_at", Instant),
    UniqueConstraint("tenant", "source", "account", "delivery_id"),
    Index(None, "tenant", "state", "next_attempt_at"),
    Index(None, "tenant", "lane", "state", "id"),
    CheckConstraint("state IN ('RECEIVED', 'DONE', 'DEAD')", name="state"),
)

imports = Table(
    "imports",
    metadata,
    _tenant(),
    Column("key", String(255), primary_key=True),
    Column("content_digest", String(64), nullable=False),
    Column("started_by", Text, nullable=False),
    Column("next_row", BigInteger, nullable=False, default=0),
    Column("next_offset", BigInteger, nullable=False, default=0),
    Column("counts", JSON_DOCUMENT, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("finished_at", Instant),
)
