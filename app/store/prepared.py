"""Statements that are built once.

Putting a statement together of columns and conditions costs several times as much as running it, and comes out the
same each time but for the values. So a builder is called once, with a placeholder for each value:

    @prepared
    def _link(tenant: Asked, provider: Asked) -> Select[Any]:
        return select(links).where(links.c.tenant == tenant, links.c.provider == provider)

    await conn.execute(*_link("acme", "vault"))

A placeholder takes the type of the column it is compared with, and stands for many values within `in_`. A builder is
called with placeholders only, so it must not decide anything by what is asked for: each shape of a statement has a
builder of its own. What an INSERT or an UPDATE writes is named by its columns:
``_change(tenant, id, state="FAILED")``.
"""

from collections.abc import Callable
from inspect import signature
from typing import Any, Final

from sqlalchemy import BindParameter, Executable, Table, bindparam

Asked = BindParameter[Any]
Statement = tuple[Executable, dict[str, Any]]
Insert = Callable[[Table], Any]
"""The backend's own INSERT: it has `on_conflict_do_nothing` and `on_conflict_do_update`. See `Database.insert`."""


class Prepared:
    """Built at the first call: a process that never needs it does not wait for it at its start."""

    def __init__(self, build: Callable[..., Executable]) -> None:
        self._build: Final = build
        # A placeholder may not have the name of a column that is written.
        self._names: Final = tuple(f"asked_{name}" for name in signature(build).parameters)
        self._statement: Executable | None = None

    def __call__(self, *values: Any, **written: Any) -> Statement:
        if self._statement is None:
            self._statement = self._build(*(bindparam(name) for name in self._names))
        written.update(zip(self._names, values, strict=True))
        return self._statement, written


prepared = Prepared


def replacing(insert: Any, *but: str) -> Any:
    """An INSERT of whole rows, each of which takes the place of the one with its primary key; columns named in `but`
    stay as they are there."""
    key = [column.name for column in insert.table.primary_key]
    replaced = {column.name: column for column in insert.excluded if column.name not in (*key, *but)}
    return insert.on_conflict_do_update(index_elements=key, set_=replaced)
