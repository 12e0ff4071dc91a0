"""Statements that are built once.

Building a SQLAlchemy statement costs several times as much as running it, and only its values differ between calls. So
a builder is called once, with a bind parameter for each value:

    @prepared
    def _link(tenant: Asked, provider: Asked) -> Select[Any]:
        return select(links).where(links.c.tenant == tenant, links.c.provider == provider)

    await conn.execute(*_link("acme", "vault"))

A parameter takes the type of the column it is compared with, and is expanded within `in_`. A builder receives
parameters, not values, so it cannot branch on them: each form of a statement needs its own builder. The values of an
INSERT or UPDATE are passed by column name: ``_change(tenant, id, state="FAILED")``.
"""

from collections.abc import Callable
from inspect import signature
from typing import Any, Final

from sqlalchemy import BindParameter, Executable, Table, bindparam

Asked = BindParameter[Any]
Statement = tuple[Executable, dict[str, Any]]
Insert = Callable[[Table], Any]
"""The dialect's INSERT, with `on_conflict_do_nothing` and `on_conflict_do_update`. See `Database.insert`."""


class PreparedStatement:
    """A statement that is built on the first call, to keep startup fast."""

    def __init__(self, build: Callable[..., Executable]) -> None:
        self._build: Final = build
        # A parameter must not have the name of a written column.
        self._names: Final = tuple(f"asked_{name}" for name in signature(build).parameters)
        self._statement: Executable | None = None

    def __call__(self, *values: Any, **written: Any) -> Statement:
        if self._statement is None:
            self._statement = self._build(*(bindparam(name) for name in self._names))
        written.update(zip(self._names, values, strict=True))
        return self._statement, written


prepared = PreparedStatement


def replacing(insert: Any, *but: str) -> Any:
    """An upsert: replaces the row with the same primary key, except the columns named in `but`."""
    key = [column.name for column in insert.table.primary_key]
    replaced = {column.name: column for column in insert.excluded if column.name not in (*key, *but)}
    return insert.on_conflict_do_update(index_elements=key, set_=replaced)
