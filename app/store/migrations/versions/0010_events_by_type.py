"""An index of events by type, for reading the events of all customers."""

from collections.abc import Sequence

from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index("ix_events_tenant_type_id", "events", ["tenant", "type", "id"])


def downgrade() -> None:
    op.drop_index("ix_events_tenant_type_id", "events")
