"""Merging customers in the store, on both backends."""

import pytest

from app.store import Store, Transaction
from app.store.database import Engine
from app.store.errors import CustomerUnknown
from app.store.merging import DROPPED_TABLES, MOVED_TABLES, lock_both, merge_customers
from app.store.records import MethodAddress
from app.store.statements import Query
from app.vault.enums import CustomerRef, LinkProof, MethodRef, ProviderName
from tests.support.stores import HandClock

CARD = MethodAddress(ProviderName.LOANPRO, CustomerRef("37"), MethodRef("1181"))
_TABLES = {
    True: "SELECT m.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c"
    " WHERE m.type = 'table' AND c.name = 'customer_id' AND :tenant = :tenant",
    False: "SELECT table_name FROM information_schema.columns"
    " WHERE table_schema = 'public' AND column_name = 'customer_id' AND :tenant::text = :tenant",
}


def merge(tx: Transaction, old: str, new: str) -> None:
    merged, into = lock_both(tx, old, new)
    merge_customers(tx, merged, into, keeps_merged_choice=None, merged_by="staff:ann")


async def test_every_table_of_customers_has_a_rule(store: Store) -> None:
    engine: Engine = store.engine
    query = Query(str, _TABLES[engine.is_sqlite])
    found = await store.read(lambda db: db.all(query))
    assert set(found) == set(MOVED_TABLES) | set(DROPPED_TABLES) | {"choices"}


async def test_a_chain_of_merges_leads_to_the_last_one(store: Store, clock: HandClock) -> None:
    a = await store.directory.create(external_id="a", first_name="Ann", last_name="Bee", email="ann@example.com")
    b = await store.directory.create(external_id="b")
    c = await store.directory.create(external_id="c", email="c@example.com")
    await store.directory.link(
        a.id, CARD.provider, CARD.customer_ref, proof=LinkProof.TRUSTED_BACKEND, linked_by="staff:ann"
    )
    await store.directory.set_nickname(a.id, CARD, "Blue")
    await store.directory.set_choice(a.id, CARD, set_by="staff:ann")
    await store.transaction(merge, a.id, b.id)
    await store.transaction(merge, b.id, c.id)
    entry = await store.directory.entry(c.id)
    assert entry is not None
    assert (entry.customer.name, entry.customer.email) == ("Ann Bee", "c@example.com")
    assert entry.nicknames == {CARD: "Blue"}
    assert entry.choice is not None
    assert entry.choice.address == CARD
    assert [await store.directory.merged_into(one.id) for one in (a, b, c)] == [c.id, c.id, None]
    for key in "abc":
        found = await store.directory.customer_by_external_id(key)
        assert found is not None
        assert found.id == c.id
    former = await store.directory.former(c.id)
    assert [(one.external_id, one.merged_at, one.merged_by) for one in former] == [
        ("a", clock(), "staff:ann"),
        ("b", clock(), "staff:ann"),
    ]
    with pytest.raises(CustomerUnknown):
        await store.transaction(merge, a.id, c.id)
    await store.erase(c.id)
    assert await store.directory.former(c.id) == [], "an external id is personal data"
    assert await store.directory.customer_by_external_id("a") is None
