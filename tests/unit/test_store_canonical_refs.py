"""The migration to canonical customer refs: changed rows and link conflicts, on both databases."""

import asyncio
import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, text

from app.store import Store, migrate
from app.store.migrating import _config
from app.store.records import LinkConflictRecord, MethodAddress
from app.vault.enums import CustomerRef, LinkProof, MethodRef, ProviderName
from tests.support.command import vaultgraph
from tests.support.stores import sql
from tests.unit.test_canonical_refs import GUID

UPPER = GUID.upper()
CARD = "93f5f620-ec93-47dd-ab24-c07bbf0b16bf"
WHEN = "2026-01-0{} 00:00:00+00:00"


def _before(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "0004")


@pytest.fixture(params=["sqlite", "postgres"])
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'old.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def old(old_url: str) -> str:
    """An empty database with the previous schema."""
    with sql(old_url) as conn:
        if old_url.startswith("postgresql"):
            conn.execute(text("DROP SCHEMA public CASCADE"))
            conn.execute(text("CREATE SCHEMA public"))
        _before(conn)
    return old_url


def put(url: str, table: str, **values: Any) -> None:
    """One row in the previous format: datetimes and JSON as text."""
    row = {"tenant": "default", **values}
    names, places = ", ".join(f'"{name}"' for name in row), ", ".join(f":{name}" for name in row)
    if url.startswith("postgresql"):
        row = {name: datetime.fromisoformat(v) if name.endswith("_at") else v for name, v in row.items()}
        as_json = {"detail", "intent", "result", "quote"}
        places = ", ".join(f"CAST(:{name} AS jsonb)" if name in as_json else f":{name}" for name in row)
    else:
        row = {name: v.removesuffix("+00:00") if name.endswith("_at") else v for name, v in row.items()}
    with sql(url) as conn:
        conn.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), row)


def customer(url: str, name: str, provider: str, ref: str, day: int) -> str:
    customer_id = f"cus_{name}"
    put(url, "customers", id=customer_id, external_id=name, created_at=WHEN.format(1))
    put(
        url,
        "links",
        provider=provider,
        customer_ref=ref,
        customer_id=customer_id,
        proof="TRUSTED_BACKEND",
        linked_at=WHEN.format(day),
        linked_by="operator",
    )
    where = {"provider": provider, "customer_ref": ref, "method_ref": CARD}
    if not ref.startswith("{"):
        put(url, "nicknames", **where, customer_id=customer_id, nickname=f"{name}'s card")
    put(url, "methods", **where, customer_id=customer_id, etag="e", status="ACTIVE", seen_at=WHEN.format(2))
    put(
        url,
        "choices",
        **where,
        customer_id=customer_id,
        allow_expired=False,
        set_at=WHEN.format(3),
        set_by="ann",
    )
    return customer_id


async def migrated(url: str) -> Store:
    store = Store.open(url)
    await migrate(store.engine)
    return store


async def test_refs_are_normalised_in_all_tables(old: str) -> None:
    ada = customer(old, "ada", "aloha", UPPER, 1)
    sam = customer(old, "sam", "loanpro", "0037", 1)
    eve = customer(old, "eve", "jpmorgan", "pacjgq", 1)
    kim = customer(old, "kim", "caselle", "Cus_9", 1)
    refs = {"provider": "aloha", "customer_ref": UPPER, "method_ref": CARD}
    event = {"type": "METHOD_ADDED", "origin": "GATEWAY", "occurred_at": WHEN.format(1), "detail": "{}"}
    put(old, "events", id="evt_1", **event, customer_id=ada, **refs)
    put(
        old,
        "payments",
        id="pay_1",
        customer_id=ada,
        **refs,
        state="QUOTED",
        currency="USD",
        amount=1,
        reference="r",
        quote="{}",
        created_at=WHEN.format(1),
        updated_at=WHEN.format(1),
    )
    of = {"provider": "aloha", "ref": UPPER, "refs": [["aloha", UPPER]], "links": [["jpmorgan", "pacjgq"]]}
    for number, state in ((1, "PENDING"), (2, "SUCCEEDED")):
        put(
            old,
            "operations",
            id=f"op_{number}",
            caller="ann",
            mutation="linkProviderCustomer",
            input_digest="d",
            state=state,
            is_final=False,
            epoch=1,
            owner_id="o",
            deadline_at=WHEN.format(1),
            looks=0,
            intent=json.dumps({"by": "ann", "of": of, "doing": ["aloha", "x"]}),
            result="{}",
            created_at=WHEN.format(1),
        )
    put(
        old,
        "operation_results",
        operation_id="op_2",
        row=0,
        provider="aloha",
        state="SUCCEEDED",
        outcome="APPLIED",
        customer_ref=UPPER,
        method_ref=CARD,
    )
    store = await migrated(old)
    linked = await store.directory.links_of([ada, sam, eve, kim])
    assert {name: rows[0].customer_ref for name, rows in linked.items()} == {
        ada: GUID,
        sam: "37",
        eve: "PACJGQ",
        kim: "Cus_9",
    }
    assert await store.link_health.conflicts() == []
    entry = await store.directory.entry(ada)
    address = MethodAddress(ProviderName.ALOHA, CustomerRef(GUID), MethodRef(CARD))
    assert entry is not None
    assert entry.choice is not None
    assert (entry.choice.customer_ref, entry.nicknames) == (GUID, {address: "ada's card"})
    assert [row.customer_ref for row in await store.observed_methods.of_customer(ada)] == [GUID]
    with sql(old) as conn:
        for table in ("events", "payments", "operation_results"):
            assert conn.execute(text(f"SELECT customer_ref FROM {table}")).scalars().all() == [GUID]
    pending, done = (await store.journal.operation("op_1"), await store.journal.operation("op_2"))
    assert pending is not None
    assert pending.intent["of"] == {
        "provider": "aloha",
        "ref": GUID,
        "refs": [["aloha", GUID]],
        "links": [["jpmorgan", "PACJGQ"]],
    }
    assert done is not None
    assert done.intent["of"]["ref"] == UPPER, "what is over is history"


async def test_the_first_link_stays_and_later_ones_are_set_aside(old: str) -> None:
    second = customer(old, "second", "aloha", GUID, 2)
    first = customer(old, "first", "aloha", UPPER, 1)
    third = customer(old, "third", "aloha", "{" + UPPER + "}", 3)
    store = await migrated(old)
    linked = await store.directory.links_of([first, second, third])
    assert [row.customer_ref for row in linked[first]] == [GUID]
    assert (linked[second], linked[third]) == ((), ())

    def aside(customer_id: str, ref: str, day: int) -> LinkConflictRecord:
        return LinkConflictRecord(
            customer_id=customer_id,
            provider=ProviderName.ALOHA,
            customer_ref=CustomerRef(ref),
            linked_customer_id=first,
            linked_at=datetime(2026, 1, day, tzinfo=UTC),
            linked_by="operator",
        )

    assert await store.link_health.conflicts() == [aside(second, GUID, 2), aside(third, "{" + UPPER + "}", 3)]
    entry = await store.directory.entry(first)
    assert entry is not None
    assert list(entry.nicknames.values()) == ["first's card"]
    for other in (second, third):
        lost = await store.directory.entry(other)
        assert lost is not None
        assert (lost.choice, dict(lost.nicknames)) == (None, {})
        assert await store.observed_methods.of_customer(other) == []
    with sql(old) as conn:
        detail = conn.execute(text("SELECT detail FROM link_conflicts ORDER BY customer_id")).scalars().all()
    kept = [json.loads(one) if isinstance(one, str) else one for one in detail]
    assert [one["nicknames"] for one in kept] == [{CARD: "second's card"}, {}]
    assert kept[0]["choice"]["method_ref"] == CARD


async def test_migrate_reports_conflicts_to_the_operator(tmp_path: Path) -> None:
    old = f"sqlite:///{tmp_path / 'vaultgraph.db'}"
    with sql(old) as conn:
        _before(conn)
    customer(old, "first", "aloha", UPPER, 1)
    customer(old, "second", "aloha", GUID, 2)
    result = await asyncio.to_thread(vaultgraph, "migrate", "--data-dir", tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (0, 1)
    lines = result.stdout.splitlines()
    assert lines[0] == "the store is up to date"
    assert lines[1].startswith(f"aloha cus_second LINK_CONFLICT: {GUID} is the vault customer that cus_first")
    again = await asyncio.to_thread(vaultgraph, "migrate", "--data-dir", tmp_path)
    assert again.stdout == result.stdout


async def test_linking_or_unlinking_resolves_a_conflict(old: str) -> None:
    first = customer(old, "first", "jpmorgan", "pacjgq", 1)
    second = customer(old, "second", "jpmorgan", "PACJGQ", 2)
    third = customer(old, "third", "jpmorgan", "Pacjgq", 3)
    store = await migrated(old)
    await store.directory.unlink(third, ProviderName.JPMORGAN)
    assert [one.customer_id for one in await store.link_health.conflicts()] == [second]
    await store.directory.unlink(first, ProviderName.JPMORGAN)
    made = await store.directory.link(
        second, ProviderName.JPMORGAN, CustomerRef("PACJGQ"), proof=LinkProof.TRUSTED_BACKEND, linked_by="operator"
    )
    assert made.customer_id == second
    assert await store.link_health.conflicts() == []
    await store.close()


async def test_an_upgrade_that_changes_refs_invalidates_replica_caches(old: str) -> None:
    put(old, "heads", version=7, pruned_to=0)
    customer(old, "ada", "aloha", UPPER, 1)
    store = await migrated(old)
    changes = await store.changes.since(7)
    assert (changes.version, changes.is_complete) == (8, False)


async def test_many_rows(old: str) -> None:
    """More than one page, with some non-canonical refs."""
    with sql(old) as conn:
        count = 4_500
        conn.execute(
            text(
                "INSERT INTO events (tenant, id, type, origin, occurred_at, provider, customer_ref, detail) "
                "VALUES ('default', :id, 'METHOD_ADDED', 'GATEWAY', CURRENT_TIMESTAMP, 'jpmorgan', :ref, '{}')"
            ),
            [{"id": f"evt_{n:05d}", "ref": f"ref{n}" if n % 3 else f"REF{n}"} for n in range(count)],
        )
    await migrated(old)
    with sql(old) as conn:
        found = conn.execute(text("SELECT customer_ref FROM events ORDER BY id")).scalars().all()
    assert found == [f"REF{n}" for n in range(count)]


async def test_a_link_unknown_to_its_vault_is_reported_once(store: Store) -> None:
    ada = (await store.directory.create(external_id="ada")).id
    where = (ProviderName.ALOHA, CustomerRef(GUID))
    await store.directory.link(ada, *where, proof=LinkProof.TRUSTED_BACKEND, linked_by="operator")

    mark = partial(store.link_health.mark_not_found, *where)
    assert sorted(await asyncio.gather(mark(), mark(), mark()), key=str) == [None, None, ada]
    assert await store.link_health.is_marked(*where)
    assert not await store.observed_methods.is_unchanged(*where, [])
    assert (await store.observed_methods.note(*where, [])).is_found_again
    assert not await store.link_health.is_marked(*where)
    assert not (await store.observed_methods.note(*where, [])).is_found_again
    assert await mark() == ada


async def test_links_are_paged(store: Store) -> None:
    made = []
    for number in range(5):
        customer_id = (await store.directory.create(external_id=f"user-{number}")).id
        for provider in (ProviderName.LOANPRO, ProviderName.CASELLE):
            ref = CustomerRef(str(number))
            made.append((provider.value, ref, customer_id))
            await store.directory.link(
                customer_id, provider, ref, proof=LinkProof.TRUSTED_BACKEND, linked_by="operator"
            )
    found = []
    page = await store.link_health.page_of_links(limit=3)
    while page:
        found += [(link.provider.value, link.customer_ref, link.customer_id) for link in page]
        page = await store.link_health.page_of_links(page[-1], limit=3)
    assert found == sorted(made)
