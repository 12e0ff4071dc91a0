"""Canonical customer refs, link conflicts, and since when a vault reports a customer as unknown.

Vaults accept some refs in several forms, so one vault customer could be linked to two customers. The earliest link
stays. Later ones are moved with their data to `link_conflicts` for an operator to decide; nothing is merged or lost.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app.providers.registry import canonical_ref
from app.vault.enums import ProviderName

INSTANT = sa.DateTime(timezone=True)
JSON_DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
SORTED_ID = sa.String(40).with_variant(sa.String(40, collation="C"), "postgresql")

revision: str = "0005"
down_revision: str | None = "0004"

_PAGE: Final = 2_000


def _columns(*names: str) -> list[sa.ColumnClause[Any]]:
    return [sa.column(name, sa.String()) for name in names]


_ADDRESS: Final = ("tenant", "provider", "customer_ref", "method_ref")
links: Final = sa.table(
    "links",
    *_columns("tenant", "provider", "customer_ref", "customer_id", "proof", "linked_by"),
    sa.column("linked_at", INSTANT),
)
conflicts: Final = sa.table(
    "link_conflicts",
    *_columns("tenant", "provider", "customer_id", "customer_ref", "linked_customer_id", "proof", "linked_by"),
    sa.column("linked_at", INSTANT),
    sa.column("detail", JSON_DOCUMENT),
)
choices: Final = sa.table(
    "choices",
    *_columns("tenant", "customer_id", "provider", "customer_ref", "method_ref", "set_by"),
    sa.column("allow_expired", sa.Boolean()),
    sa.column("is_kept", sa.Boolean()),
    sa.column("set_at", INSTANT),
)
nicknames: Final = sa.table("nicknames", *_columns(*_ADDRESS, "customer_id", "nickname"))
methods: Final = sa.table("methods", *_columns(*_ADDRESS, "customer_id"))
events: Final = sa.table("events", *_columns("tenant", "id", "provider", "customer_ref"))
payments: Final = sa.table("payments", *_columns("tenant", "id", "provider", "customer_ref"))
results: Final = sa.table(
    "operation_results", *_columns("tenant", "operation_id", "provider", "customer_ref"), sa.column("row", sa.Integer())
)
operations: Final = sa.table(
    "operations", *_columns("tenant", "id", "provider", "state"), sa.column("intent", JSON_DOCUMENT)
)
heads: Final = sa.table(
    "heads",
    *_columns("tenant"),
    sa.column("version", sa.BigInteger()),
    sa.column("pruned_to", sa.BigInteger()),
)


def upgrade() -> None:
    op.add_column("links", sa.Column("not_found_at", INSTANT))
    op.create_table(
        "link_conflicts",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(16), nullable=False),
        sa.Column("customer_id", sa.String(80), nullable=False),
        sa.Column("customer_ref", sa.Text(), nullable=False),
        sa.Column("linked_customer_id", sa.String(80), nullable=False),
        sa.Column("proof", sa.String(32), nullable=False),
        sa.Column("linked_at", INSTANT, nullable=False),
        sa.Column("linked_by", sa.Text(), nullable=False),
        sa.Column("detail", JSON_DOCUMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "customer_id"],
            ["customers.tenant", "customers.id"],
            name="fk_link_conflicts_tenant_customer_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "provider", "customer_id", name="pk_link_conflicts"),
    )
    bind = op.get_bind()
    respelled = _links(bind)
    for table, key in (
        (choices, ("tenant", "customer_id")),
        (nicknames, _ADDRESS),
        (methods, _ADDRESS),
        (events, ("tenant", "id")),
        (payments, ("tenant", "id")),
        (results, ("tenant", "operation_id", "row")),
    ):
        respelled += _respell(bind, table, key)
    respelled += _unfinished(bind)
    if respelled:  # running replicas drop cache entries with the old refs
        version = heads.c.version + 1
        bind.execute(sa.update(heads).values(version=version, pruned_to=version))


def downgrade() -> None:
    op.drop_table("link_conflicts")
    op.drop_column("links", "not_found_at")


# ---- canonical refs, from each vault's `ProviderSpec` -------------------------------------------------------


@cache
def _vaults() -> Mapping[str, ProviderName]:
    return {name.value: name for name in ProviderName}


def canonical(provider: str | None, ref: str) -> str:
    name = _vaults().get(provider or "")
    return ref if name is None else canonical_ref(name, ref)


# ---- links: the earliest of each vault customer stays -------------------------------------------------------


def _links(bind: sa.Connection) -> int:
    """Normalise links, and set aside those of vault customers with an earlier link; returns the number changed."""
    odd = list(_odd(bind, links, _ADDRESS[:3]))
    rivals: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
    for row in odd:
        rivals[row.tenant, row.provider, canonical(row.provider, row.customer_ref)].append(row)
    for (tenant, provider, ref), rows in rivals.items():
        spelled_well = bind.execute(sa.select(links).where(*_at(links, tenant, provider, ref))).first()
        everyone = [*([spelled_well] if spelled_well else []), *rows]
        first = min(everyone, key=lambda one: (one.linked_at, one.customer_ref != ref, one.customer_id))
        for row in everyone:
            if row is not first:
                _set_aside(bind, row, first.customer_id)
        if first.customer_ref != ref:
            here = _at(links, tenant, provider, first.customer_ref)
            bind.execute(sa.update(links).where(*here).values(customer_ref=ref))
    return len(odd)


def _set_aside(bind: sa.Connection, link: Any, linked_customer_id: str) -> None:
    """Move the link and its choice and nicknames to `link_conflicts`."""

    def theirs(table: Any) -> tuple[sa.ColumnElement[bool], ...]:
        its = table.c
        return its.tenant == link.tenant, its.customer_id == link.customer_id, its.provider == link.provider

    choice = bind.execute(sa.select(choices).where(*theirs(choices))).first()
    names = bind.execute(sa.select(nicknames).where(*theirs(nicknames))).all()
    detail = {
        "choice": None if choice is None else _kept(choice),
        "nicknames": {row.method_ref: row.nickname for row in names},
    }
    values = {name: getattr(link, name) for name in links.c.keys()}  # noqa: SIM118 - columns, not a dict
    bind.execute(sa.insert(conflicts).values(**values, linked_customer_id=linked_customer_id, detail=detail))
    for table in (choices, nicknames, methods):
        bind.execute(sa.delete(table).where(*theirs(table)))
    bind.execute(sa.delete(links).where(*_at(links, link.tenant, link.provider, link.customer_ref)))


def _kept(choice: Any) -> dict[str, Any]:
    return {
        "method_ref": choice.method_ref,
        "allow_expired": choice.allow_expired,
        "is_kept": choice.is_kept,
        "set_at": choice.set_at.isoformat(),
        "set_by": choice.set_by,
    }


def _at(table: Any, tenant: str, provider: str, ref: str) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.tenant == tenant, table.c.provider == provider, table.c.customer_ref == ref


# ---- references to the refs ---------------------------------------------------------------------------------


def _respell(bind: sa.Connection, table: Any, key: Sequence[str]) -> int:
    """Normalise the refs of a table. If the ref is part of the key, a row that would be a duplicate is deleted."""
    touched = 0
    for row in list(_odd(bind, table, key)):
        here = [table.c[name] == getattr(row, name) for name in key]
        ref = canonical(row.provider, row.customer_ref)
        if "customer_ref" in key:
            there = [table.c[name] == getattr(row, name) for name in key if name != "customer_ref"]
            if bind.execute(sa.select(table.c.tenant).where(*there, table.c.customer_ref == ref)).first():
                bind.execute(sa.delete(table).where(*here))
                continue
        bind.execute(sa.update(table).where(*here).values(customer_ref=ref))
        touched += 1
    return touched


def _odd(bind: sa.Connection, table: Any, key: Sequence[str]) -> Iterator[Any]:
    for row in _pages(bind, table, key):
        if row.customer_ref is not None and canonical(row.provider, row.customer_ref) != row.customer_ref:
            yield row


def _pages(bind: sa.Connection, table: Any, key: Sequence[str]) -> Iterator[Any]:
    """All rows in the order of their key, read page by page."""
    order = [table.c[name] for name in key]
    query = sa.select(table).order_by(*order).limit(_PAGE)
    rows = bind.execute(query).all()
    while rows:
        yield from rows
        last = [getattr(rows[-1], name) for name in key]
        rows = bind.execute(query.where(sa.tuple_(*order) > sa.tuple_(*last))).all()


def _unfinished(bind: sa.Connection) -> int:
    """Normalise the refs in the intents of unfinished operations, which name the customers that they lock."""
    query = sa.select(operations).where(operations.c.state.in_(("PENDING", "UNKNOWN")))
    touched = 0
    for row in bind.execute(query).all():
        intent = _in_json(row.intent)
        if intent != row.intent:
            here = operations.c.tenant == row.tenant, operations.c.id == row.id
            bind.execute(sa.update(operations).where(*here).values(intent=intent))
            touched += 1
    return touched


def _in_json(kept: Any) -> Any:
    """Normalise refs in JSON: ``[vault, ref, ...]`` or ``{"provider": vault, "ref": ref}``."""
    if isinstance(kept, list):
        if len(kept) in (2, 3) and all(isinstance(one, str) for one in kept) and kept[0] in _vaults():
            return [kept[0], canonical(kept[0], kept[1]), *kept[2:]]
        return [_in_json(one) for one in kept]
    if isinstance(kept, dict):
        found = {name: _in_json(value) for name, value in kept.items()}
        if isinstance(found.get("provider"), str) and isinstance(found.get("ref"), str):
            found["ref"] = canonical(found["provider"], found["ref"])
        return found
    return kept
