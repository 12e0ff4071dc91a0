"""Finding customers and expiring methods among 20,000, on both backends: pages, and the plans of their statements."""

from collections.abc import Callable
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.store import Connection, Store
from app.store.customer_search import search_customers
from app.store.observed_methods import next_to_expire
from app.store.postgres import PostgresDriver
from app.store.records import CustomerCriteria, CustomerPosition, CustomerRecord, ExpiryPosition
from app.store.statements import Query, Statement
from app.vault.enums import ProviderName
from tests.support.stores import sql

COUNT = 22_000
START = datetime(2026, 1, 1, tzinfo=UTC)
F = CustomerCriteria


_FILL = """
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {last}),
rows (n, id, digits, is_named) AS (
  SELECT n, 'cus_' || substr(CAST(100000 + n AS TEXT), 2), substr(CAST(100000 + n AS TEXT), 2), {named} FROM numbers
)
INSERT INTO {into} FROM rows WHERE {rest} = 0
"""
_TABLES = (
    (
        "customers (tenant, id, external_id, first_name, last_name, business_name, email, created_at)"
        " SELECT 'default', id, CASE WHEN {odd} = 1 THEN 'shop-' ELSE 'app-' END || digits,"
        " CASE WHEN is_named THEN 'Zoë' ELSE 'Ann' || digits END, CASE WHEN is_named THEN 'O''Brien_{percent}' END,"
        " CASE WHEN n = 7 THEN 'Obrienx Ltd' END, 'Ann' || n || '@example.com', {at}",
        1,
    ),
    (
        "links (tenant, provider, customer_ref, customer_id, proof, linked_at, linked_by)"
        " SELECT 'default', 'loanpro', id, id, 'TRUSTED_BACKEND', {at}, 'tests'",
        10,
    ),
    (
        "methods (tenant, provider, customer_ref, method_ref, customer_id, etag, status, expiry, seen_at)"
        " SELECT 'default', 'loanpro', id, 'm', id, 'e', 'ACTIVE',"
        " CAST(2027 + {year} AS TEXT) || '-' || substr(CAST(101 + {month} AS TEXT), 2), {at}",
        10,
    ),
)


def _rest(value: str, by: int) -> str:
    """The two databases' functions for the remainder differ in their types."""
    return f"({value} - {value} / {by} * {by})"


_AT = {
    True: "strftime('%Y-%m-%d %H:%M:%S.000000', '2026-01-01', '+' || n || ' seconds')",
    False: "TIMESTAMPTZ '2026-01-01 00:00:00+00' + n * INTERVAL '1 second'",
}


@pytest.fixture
def many(store: Store, store_url: str) -> Store:
    """`COUNT` customers, one a second. Every tenth is linked at LoanPro, with a card that expires in one of 120 months;
    every 5,000th is named Zoë O'Brien_%."""
    is_sqlite = store_url.startswith("sqlite")
    with sql(store_url) as db:
        for into, each in _TABLES:
            rows = into.format(
                at=_AT[is_sqlite],
                percent="%" if is_sqlite else "%%",
                odd=_rest("n", 2),
                year=_rest("n / 120", 10),
                month=_rest("n / 10", 12),
            )
            named = f"{_rest('n', 5_000)} = 4999"
            db.exec_driver_sql(_FILL.format(last=COUNT - 1, named=named, into=rows, rest=_rest("n", each)))
        if not is_sqlite:  # whose statistics the gateway never gathers
            db.exec_driver_sql("ANALYZE")
    return store


async def walk(store: Store, wanted: CustomerCriteria, *, first: int = 50, **how: Any) -> tuple[list[str], int]:
    """The ids of all pages, and the number of pages."""
    found: list[str] = []
    after: CustomerPosition | None = None
    pages = 0
    while True:
        page = await store.customer_search.find(wanted, first=first, after=after, **how)
        assert len(page.customers) <= first
        found += [one.id for one in page.customers]
        pages += 1
        if page.next is None:
            return found, pages
        assert page.next != after
        after = page.next


async def each_filter_finds_its_customers(many: Store) -> None:
    ids = [f"cus_{number:05d}" for number in range(COUNT)]
    named = ["cus_04999", "cus_09999", "cus_14999", "cus_19999"]
    late = START + timedelta(seconds=COUNT - 300)
    for wanted, expected in (
        (F(email="ANN77@EXAMPLE.com"), ["cus_00077"]),
        (F(email="ann77@example.co"), []),
        (F(external_id_prefix="shop-0"), ids[1:10_000:2]),
        (F(external_id_prefix="shop-21999"), ids[-1:]),
        (F(external_id_prefix="shop-" + "\U0010ffff"), []),
        (F(created_after=late), ids[-299:]),
        (F(linked_at=ProviderName.LOANPRO), ids[::10]),
        (F(linked_at=ProviderName.CASELLE), []),
        (F(linked_at=ProviderName.LOANPRO, created_after=late), ids[-290::10]),
        (F(name_contains="o'brien_%"), named),
        (F(name_contains="obrienX"), ["cus_00007"]),
        (F(name_contains="brien_", external_id_prefix="shop-1"), named[2:]),
        (F(name_contains="a\x00b"), []),
    ):
        found, _ = await walk(many, wanted, first=1_000)
        assert found == expected, wanted
    every, pages = await walk(many, F(), first=5_000)
    assert (every, pages) == (ids, 5)


async def a_page_of_names_examines_a_bounded_number_of_rows(many: Store) -> None:
    first = await many.customer_search.find(F(name_contains="brien_"), first=3)
    assert ([one.id for one in first.customers], first.next and first.next.id) == (
        ["cus_04999", "cus_09999"],
        "cus_09999",
    )
    found, pages = await walk(many, F(name_contains="nobody"))
    assert (found, pages) == ([], 3), "10,000 rows a page"


async def a_caller_with_some_customers_finds_only_those(many: Store) -> None:
    granted = frozenset(f"cus_{number:05d}" for number in range(0, COUNT, 7)) | {"cus_unknown", "x\x00"}
    found, pages = await walk(many, F(), among=granted, first=500)
    assert (found, pages) == ([f"cus_{number:05d}" for number in range(0, COUNT, 7)], 7)
    assert (await walk(many, F(linked_at=ProviderName.LOANPRO), among=granted))[0] == found[::10]
    assert (await walk(many, F(email="ann1@example.com"), among=granted))[0] == []
    assert (await walk(many, F(email="ann7@example.com"), among=granted))[0] == ["cus_00007"]
    assert (await walk(many, F(), among=frozenset()))[0] == []


async def erased_customers_are_not_found(many: Store) -> None:
    await many.erase("cus_00077")
    assert (await walk(many, F(email="Ann77@example.com")))[0] == []
    found = await many.customer_search.find(F(created_after=START + timedelta(seconds=75)), first=2)
    assert [one.id for one in found.customers] == ["cus_00076", "cus_00078"]


async def methods_that_expire_next_with_when_they_were_observed(many: Store) -> None:
    after, found = ExpiryPosition("2027-02"), []
    while page := await many.observed_methods.next_to_expire(after, "2027-05", limit=10):
        found += page
        last = page[-1]
        after = ExpiryPosition(str(last.expiry), last.provider, last.customer_ref, last.method_ref)
    assert [one.expiry for one in found] == ["2027-02"] * 19 + ["2027-03"] * 19 + ["2027-04"] * 19
    assert len({one.customer_ref for one in found}) == 57
    assert found[0].seen_at == START + timedelta(seconds=10)
    assert await many.link_health.count() == COUNT // 10
    both = await many.observed_methods.of_customers(["cus_00020", "cus_00010", "cus_00011"])
    assert [one.customer_id for one in both] == ["cus_00010", "cus_00020"]
    own = await many.observed_methods.next_to_expire(ExpiryPosition("2027-01"), "2027-05", limit=9, among=["cus_00020"])
    assert [(one.customer_id, one.expiry) for one in own] == [("cus_00020", "2027-03")]


class _Plans(Connection):
    """Explains each statement before it runs it."""

    plans: list[str]

    def all(self, query: Query[Any], **values: Any) -> list[Any]:
        values["tenant"] = self.tenant
        explained: Any = copy(query)
        explained.sqlite, explained.postgresql = f"EXPLAIN QUERY PLAN {query.sqlite}", f"EXPLAIN {query.postgresql}"
        self.plans.append("\n".join(str(row[-1]) for row in self._driver.rows(explained, values)))
        return super().all(query, **values)

    def one(self, query: Query[Any], **values: Any) -> Any:
        return next(iter(self.all(query, **values)), None)


async def plans_of(store: Store, step: Callable[..., Any], *args: Any, **kwargs: Any) -> list[str]:
    def run(db: Connection) -> list[str]:
        explaining = _Plans(db._driver, db.tenant, db.now)
        explaining.plans = []
        for setting in ("off", "on"):  # PostgreSQL prefers to read a small table whole, if it may
            if isinstance(db._driver, PostgresDriver):
                db._driver.run(Statement(f"SET enable_seqscan = {setting}"), {})
            if setting == "off":
                step(explaining, *args, **kwargs)
        return explaining.plans

    return await store.read(run)


def record(number: int) -> CustomerRecord:
    return CustomerRecord(
        id=f"cus_{number:05d}",
        external_id=f"shop-{number:05d}",
        first_name=None,
        last_name=None,
        email=None,
        created_at=START + timedelta(seconds=number),
    )


async def every_statement_runs_along_an_index(many: Store) -> None:
    middle = record(11_001)
    places = {
        F(email="ann77@example.com"): CustomerPosition("email", middle.id),
        F(external_id_prefix="shop-1"): CustomerPosition("external_id_prefix", middle.id, middle.external_id),
        F(created_after=START): CustomerPosition("created_after", middle.id, None, middle.created_at),
        F(linked_at=ProviderName.LOANPRO): CustomerPosition("linked_at", middle.id),
        F(): CustomerPosition("id", middle.id),
    }
    plans: list[str] = []
    for wanted, place in places.items():
        for after in (None, place):
            plans += await plans_of(many, search_customers, wanted, first=20, after=after)
            if wanted.email is None:
                named = F(**{name: getattr(wanted, name) for name in wanted.given}, name_contains="nobody")
                plans += await plans_of(many, search_customers, named, first=20, after=after)
    plans += await plans_of(many, search_customers, F(), first=20, among=["cus_00007", "cus_00008"])
    for start in (ExpiryPosition("2027-02"), ExpiryPosition("2027-02", "loanpro", middle.id, "m")):
        plans += await plans_of(many, next_to_expire, start, "2027-05", limit=20)
    assert len(plans) > 100
    for plan in plans:
        assert "index" in plan.lower(), plan
        assert "Seq Scan" not in plan, plan
        assert "SCAN customers" not in plan, plan
        assert "TEMP B-TREE" not in plan or "SCAN chunk" in plan, f"only a chunk may be sorted: {plan}"


async def test_finding_among_many(many: Store) -> None:
    """One test, since it fills a store: each part is a function above."""
    await each_filter_finds_its_customers(many)
    await a_page_of_names_examines_a_bounded_number_of_rows(many)
    await a_caller_with_some_customers_finds_only_those(many)
    await methods_that_expire_next_with_when_they_were_observed(many)
    await every_statement_runs_along_an_index(many)
    await erased_customers_are_not_found(many)
