"""Prepared statements: each call binds its own values, of the right types, on both backends."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Select, Update, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.store.prepared import Asked, PreparedStatement
from app.store.tables import links, operations


def test_is_built_once_and_asked_with_each_calls_own_values() -> None:
    built: list[object] = []

    def build(tenant: Asked, provider: Asked) -> Select[Any]:
        built.append(tenant)
        return select(links).where(links.c.tenant == tenant, links.c.provider == provider)

    statement = PreparedStatement(build)
    first, second = statement("acme", "aloha"), statement("other", "caselle")
    assert first[0] is second[0]
    assert len(built) == 1
    assert first[1] == {"asked_tenant": "acme", "asked_provider": "aloha"}
    assert second[1] == {"asked_tenant": "other", "asked_provider": "caselle"}


def test_is_not_built_before_it_is_called() -> None:
    def build() -> Select[Any]:
        raise AssertionError("nobody asked")

    PreparedStatement(build)


def test_too_few_values_are_refused() -> None:
    statement = PreparedStatement(lambda tenant: select(links).where(links.c.tenant == tenant))
    with pytest.raises(ValueError, match="zip"):
        statement()


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=["sqlite", "postgresql"])  # type: ignore[no-untyped-call]
def test_values_take_the_types_of_their_columns(dialect: Any) -> None:
    def build(tenant: Asked, states: Asked, before: Asked) -> Update:
        return update(operations).where(
            operations.c.tenant == tenant, operations.c.state.in_(states), operations.c.created_at < before
        )

    now = datetime(2026, 1, 1, tzinfo=UTC)
    statement, values = PreparedStatement(build)("acme", ["PENDING"], now, state="FAILED")
    compiled = statement.compile(dialect=dialect, column_keys=list(values))  # type: ignore[attr-defined]
    types = {name: bound.type for name, bound in compiled.binds.items()}
    assert types["asked_tenant"] is operations.c.tenant.type
    assert types["asked_states"] is operations.c.state.type
    assert types["asked_before"] is operations.c.created_at.type
    assert types["state"] is operations.c.state.type
