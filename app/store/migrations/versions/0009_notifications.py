"""PostgreSQL notifies listening processes of commits: see `app.store.notifications`.

Triggers do it, so commands and processes of other versions notify too, without another round trip.
"""

from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"

_FUNCTION = """
CREATE FUNCTION vaultgraph_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify(TG_ARGV[0], NEW.tenant);
  RETURN NULL;
END $$
"""
_HEADS = """
CREATE TRIGGER notify_changes AFTER INSERT OR UPDATE OF version, last_event_id ON heads
FOR EACH ROW EXECUTE FUNCTION vaultgraph_notify('vaultgraph_changes')
"""
_OWNERS = """
CREATE TRIGGER notify_work AFTER UPDATE OF stopped_at ON owners
FOR EACH ROW EXECUTE FUNCTION vaultgraph_notify('vaultgraph_work')
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for statement in (_FUNCTION, _HEADS, _OWNERS):
            op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION vaultgraph_notify CASCADE")
