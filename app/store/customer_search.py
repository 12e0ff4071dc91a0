"""Finds customers by e-mail address, name, external id, vault or time of creation, page by page.

Each filter has an index, except part of a name: those are compared row by row, along the index of another filter or of
the ids. A page examines a bounded number of rows, so it may be short, or empty, although more follow.

E-mail addresses and names are stored as they were given, so an index over them reveals nothing that the table does not.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple

from app.store.connection import Connection
from app.store.database import ReadMethod, Repository
from app.store.records import BY_GRANT, BY_ID, CustomerCriteria, CustomerPage, CustomerPosition, CustomerRecord
from app.store.statements import Query, columns_of
from app.store.text import is_storable

CHUNK: Final = 1_000
_MOST_CHUNKS: Final = 10
_ESCAPE: Final = "!"
_BYTES: Final = 'COLLATE "C"'


@dataclass(frozen=True, slots=True)
class _Walk:
    """An order of the customers, which an index has. `always` holds for all of them, `begin` before the first position;
    `after` compares the columns of `key` with a position. One lower bound at a time: SQLite's index uses only one."""

    key: str
    after: str
    always: str = "customers.tenant = :tenant"
    begin: str = ""
    table: str = "customers"
    end: str = "customers.id, customers.external_id, customers.created_at"


class _Key(NamedTuple):
    id: str
    external_id: str | None
    created_at: datetime | None


_EMAIL: Final = "lower(customers.email) = lower(:email)"
_PREFIX: Final = f"customers.external_id {_BYTES} >= :prefix"
_PREFIX_END: Final = f"customers.external_id {_BYTES} < :prefix_end"
_CREATED: Final = "customers.created_at > :created_after"
_CONDITIONS: Final[Mapping[str, str]] = {
    "email": _EMAIL,
    "external_id_prefix": f"{_PREFIX} AND {_PREFIX_END}",
    "created_after": _CREATED,
    "linked_at": "EXISTS (SELECT 1 FROM links WHERE links.tenant = :tenant AND links.customer_id = customers.id"
    " AND links.provider = :provider)",
    "name_contains": "lower(COALESCE(customers.business_name,"
    " COALESCE(customers.first_name, '') || ' ' || COALESCE(customers.last_name, '')))"
    f" LIKE lower(:name) ESCAPE '{_ESCAPE}'",
}
_OF_TENANT: Final = "customers.tenant = :tenant"
# In the order in which they are preferred: the filters that leave the fewest customers first.
_WALKS: Final[Mapping[str, _Walk]] = {
    "email": _Walk("customers.id", "customers.id > :after_id", f"{_OF_TENANT} AND {_EMAIL}"),
    "external_id_prefix": _Walk(
        f"customers.external_id {_BYTES}",
        f"customers.external_id {_BYTES} > :after_external_id",
        f"{_OF_TENANT} AND {_PREFIX_END}",
        _PREFIX,
    ),
    "created_after": _Walk(
        "customers.created_at, customers.id",
        "(customers.created_at, customers.id) > (:after_created_at, :after_id)",
        begin=_CREATED,
    ),
    "linked_at": _Walk(
        "links.customer_id",
        "links.customer_id > :after_id",
        "links.tenant = :tenant AND links.provider = :provider",
        table="links JOIN customers ON customers.tenant = links.tenant AND customers.id = links.customer_id",
        end="links.customer_id, NULL, NULL",
    ),
    BY_ID: _Walk("customers.id", "customers.id > :after_id"),
}
_SHOWN: Final = "customers.erased_at IS NULL"
_COLUMNS: Final = columns_of(CustomerRecord, "customers.")
_AMONG: Final = "SELECT {all} FROM customers WHERE customers.tenant = :tenant AND customers.id IN :ids"


def search_customers(
    db: Connection,
    wanted: CustomerCriteria,
    *,
    first: int,
    after: CustomerPosition | None = None,
    among: Collection[str] | None = None,
) -> CustomerPage:
    """Up to `first` customers after a position of the same walk; with `among`, only customers with these ids."""
    texts = [wanted.email, wanted.external_id_prefix, wanted.name_contains]
    texts += [after.id, after.external_id] if after else []
    if not is_storable("".join(filter(None, texts))):
        return CustomerPage(wanted.walk(is_restricted=among is not None), [], None)
    if among is not None:
        return _among(db, wanted, first, after, among)
    return _along(db, wanted, first, after)


def _along(db: Connection, wanted: CustomerCriteria, first: int, after: CustomerPosition | None) -> CustomerPage:
    walk = wanted.walk(is_restricted=False)
    conditions = tuple(name for name in wanted.given if name != walk)
    values = _values(wanted)
    if not conditions:
        found = db.all(_rows(walk, after is not None), **values, **_values_of(after), limit=first + 1)
        return _page(walk, found, first, None)
    found, start, end = [], after, None
    for _ in range(_MOST_CHUNKS):
        has_start, place = start is not None, _values_of(start)
        last = db.one(_end(walk, has_start), **values, **place, skipped=CHUNK - 1)
        query = _of_chunk(walk, conditions, has_start)
        found += db.all(query, **values, **place, chunk=CHUNK, limit=first + 1 - len(found))
        end = None if last is None else CustomerPosition(walk, *last)
        if len(found) > first or end is None:
            break
        start = end
    return _page(walk, found, first, end)


def _among(
    db: Connection, wanted: CustomerCriteria, first: int, after: CustomerPosition | None, among: Collection[str]
) -> CustomerPage:
    """Along the ids themselves: the customers of one caller."""
    ids = sorted(one for one in among if is_storable(one) and (after is None or one > after.id))
    query, values = _of_ids(wanted.given), _values(wanted)
    found: list[CustomerRecord] = []
    examined = 0
    while examined < min(len(ids), CHUNK * _MOST_CHUNKS) and len(found) <= first:
        chunk = ids[examined : examined + CHUNK]
        found += sorted(db.all(query, **values, ids=chunk), key=lambda one: one.id)
        examined += len(chunk)
    end = CustomerPosition(BY_GRANT, ids[examined - 1]) if examined < len(ids) else None
    return _page(BY_GRANT, found, first, end)


def _page(walk: str, found: list[CustomerRecord], first: int, end: CustomerPosition | None) -> CustomerPage:
    shown = found[:first]
    return CustomerPage(walk, shown, CustomerPosition.of(walk, shown[-1]) if len(found) > first else end)


def _values(wanted: CustomerCriteria) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if wanted.email is not None:
        values["email"] = wanted.email
    if wanted.external_id_prefix is not None:
        values |= {"prefix": wanted.external_id_prefix, "prefix_end": _after_prefix(wanted.external_id_prefix)}
    if wanted.created_after is not None:
        values["created_after"] = wanted.created_after
    if wanted.linked_at is not None:
        values["provider"] = wanted.linked_at
    if wanted.name_contains is not None:
        escaped = "".join(_ESCAPE + one if one in "%_!" else one for one in wanted.name_contains)
        values["name"] = f"%{escaped}%"
    return values


def _values_of(at: CustomerPosition | None) -> dict[str, Any]:
    if at is None:
        return {}
    return {"after_id": at.id, "after_external_id": at.external_id, "after_created_at": at.created_at}


def _after_prefix(prefix: str) -> str:
    """The first text, by code points, after all texts that begin with `prefix`."""
    last = ord(prefix[-1]) + 1
    if last == 0xD800:  # surrogates are no text
        last = 0xE000
    if last > 0x10FFFF:
        return _after_prefix(prefix[:-1]) if len(prefix) > 1 else prefix * 300
    return prefix[:-1] + chr(last)


@cache
def _rows(walk: str, has_start: bool) -> Query[CustomerRecord]:
    """The customers along the walk."""
    return Query(CustomerRecord, f"{_along_index(walk, has_start, is_shown=True)} LIMIT :limit", all=_COLUMNS)


@cache
def _end(walk: str, has_start: bool) -> Query[_Key]:
    """The key of the last customer of the next chunk."""
    key = _WALKS[walk].end
    return Query(_Key, f"{_along_index(walk, has_start, is_joined=False)} LIMIT 1 OFFSET :skipped", all=key)


@cache
def _of_chunk(walk: str, conditions: tuple[str, ...], has_start: bool) -> Query[CustomerRecord]:
    """The customers of the next chunk that meet further conditions, which no database may examine beyond the chunk."""
    chunk = f"{_along_index(walk, has_start)} LIMIT :chunk"
    where = " AND ".join([*(_CONDITIONS[name] for name in conditions), _SHOWN]).replace("customers.", "chunk.")
    order = _WALKS[walk].key.replace("customers.", "chunk.").replace("links.customer_id", "chunk.id")
    return Query(
        CustomerRecord,
        f"SELECT {{columns}} FROM ({chunk}) AS chunk WHERE {where} ORDER BY {order} LIMIT :limit",
        all=_COLUMNS,
    )


@cache
def _of_ids(conditions: tuple[str, ...]) -> Query[CustomerRecord]:
    where = "".join(f" AND {_CONDITIONS[name]}" for name in conditions)
    return Query(CustomerRecord, f"{_AMONG} AND {_SHOWN}{where}", all=_COLUMNS)


def _along_index(walk: str, has_start: bool, *, is_shown: bool = False, is_joined: bool = True) -> str:
    along = _WALKS[walk]
    where = [along.always, along.after if has_start else along.begin, _SHOWN if is_shown else ""]
    table = along.table if is_joined else along.table.partition(" ")[0]
    return f"SELECT {{all}} FROM {table} WHERE {' AND '.join(filter(None, where))} ORDER BY {along.key}"


class CustomerSearch(Repository):
    find = ReadMethod(search_customers)
