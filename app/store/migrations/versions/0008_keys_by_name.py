"""Names of the keys behind digests, ids of API keys, and when old keys were last used."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from ulid import ULID

revision: str = "0008"
down_revision: str | None = "0007"


def upgrade() -> None:
    op.add_column("owners", sa.Column("keys", sa.JSON().with_variant(postgresql.JSONB(), "postgresql")))
    op.add_column("operations", sa.Column("digest_key", sa.String(16)))
    op.create_table(
        "key_uses",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("known_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("tenant", "purpose", "name", name="pk_key_uses"),
    )
    with op.batch_alter_table("client_keys") as table:
        table.add_column(sa.Column("id", sa.String(32)))
        table.add_column(sa.Column("digest_key", sa.String(16)))
        table.add_column(sa.Column("last_used_at", sa.DateTime(timezone=True)))
    keys = sa.table("client_keys", sa.column("tenant"), sa.column("key_hash"), sa.column("id"))
    connection = op.get_bind()
    for tenant, key_hash in connection.execute(sa.select(keys.c.tenant, keys.c.key_hash)).all():
        its = keys.c.tenant == tenant, keys.c.key_hash == key_hash
        connection.execute(sa.update(keys).where(*its).values(id=f"key_{ULID()}"))
    with op.batch_alter_table("client_keys") as table:
        table.alter_column("id", existing_type=sa.String(32), nullable=False)
        table.create_unique_constraint("uq_client_keys_tenant_id", ["tenant", "id"])


def downgrade() -> None:
    with op.batch_alter_table("client_keys") as table:
        table.drop_constraint("uq_client_keys_tenant_id", type_="unique")
        table.drop_column("last_used_at")
        table.drop_column("digest_key")
        table.drop_column("id")
    op.drop_table("key_uses")
    op.drop_column("operations", "digest_key")
    op.drop_column("owners", "keys")
