"""Partner apps: key rotation, grants, and change notices."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.store import Store
from app.store.errors import ClientExists, ClientUnknown, CustomerUnknown
from app.store.records import ChangeNotice, ClientKey, ClientRecord, Topic
from tests.support.stores import HandClock


async def test_a_client_is_found_by_its_key(store: Store, clock: HandClock) -> None:
    acme = await store.clients.add(
        "acme", key_hash="h1", digest_key="k1", scopes=["payment_methods:read", "customers:read"]
    )
    assert acme == ClientRecord(
        name="acme",
        scopes=frozenset({"customers:read", "payment_methods:read"}),
        sees_all_customers=False,
        created_at=clock(),
        disabled_at=None,
        keys=(
            ClientKey(
                id=acme.keys[0].id,
                key_hash="h1",
                digest_key="k1",
                created_at=clock(),
                expires_at=None,
                last_used_at=None,
            ),
        ),
    )
    assert acme.keys[0].id.startswith("key_")
    assert await store.clients.by_key_id(acme.keys[0].id) == acme
    assert await store.clients.by_key_hash("h1") == acme
    assert await store.clients.client("acme") == acme
    for strange in ("h2", "", "h1\x00"):
        assert await store.clients.by_key_hash(strange) is None
        assert await store.clients.by_key_id(strange) is None
    with pytest.raises(ClientExists):
        await store.clients.add("acme", key_hash="h3", scopes=[])
    assert await store.clients.by_key_hash("h3") is None


async def test_at_most_two_keys_are_valid_during_rotation(store: Store, clock: HandClock) -> None:
    async def valid() -> list[str]:
        found = await store.clients.client("acme")
        assert found is not None
        return [key.key_hash for key in found.keys]

    await store.clients.add("acme", key_hash="h1", scopes=[])
    clock.advance(days=1)
    await store.clients.rotate("acme", "h2")
    assert await valid() == ["h1", "h2"]
    clock.advance(days=1)
    await store.clients.rotate("acme", "h3", old_until=clock() + timedelta(days=7))
    assert await valid() == ["h2", "h3"]
    assert await store.clients.by_key_hash("h1") is None
    clock.advance(days=7)
    assert await valid() == ["h3"]
    assert await store.clients.by_key_hash("h2") is None
    with pytest.raises(ClientUnknown):
        await store.clients.rotate("nobody", "h9")


async def test_a_key_is_stored_under_another_digest_key_and_keeps_its_id(store: Store, clock: HandClock) -> None:
    (key,) = (await store.clients.add("acme", key_hash="h1", scopes=[])).keys
    assert key.digest_key is None
    await store.clients.used_keys({key.id: clock(), "key_unknown": clock()})
    before = await store.changes.version()
    await store.clients.replace_key_hash(key.id, "h2", "k2")
    await store.clients.replace_key_hash("key_unknown", "h3", "k2")
    found = await store.clients.by_key_hash("h2")
    assert found is not None
    changed = replace(key, key_hash="h2", digest_key="k2", last_used_at=clock())
    assert found.keys == (changed,)
    assert await store.clients.by_key_hash("h1") is None
    assert [one.topic for one in (await store.changes.since(before)).rows] == [Topic.CLIENT]
    assert await store.key_uses.api_keys_by_key() == {"k2": 1}


async def test_one_key_is_revoked(store: Store) -> None:
    await store.clients.add("acme", key_hash="h1", scopes=[])
    await store.clients.add("beta", key_hash="b1", scopes=[])
    first, second = (await store.clients.rotate("acme", "h2")).keys
    assert not await store.clients.revoke_key("beta", first.id)
    assert await store.clients.revoke_key("acme", first.id)
    assert not await store.clients.revoke_key("acme", first.id)
    left = await store.clients.client("acme")
    assert left is not None
    assert left.keys == (second,)
    with pytest.raises(ClientUnknown):
        await store.clients.revoke_key("nobody", second.id)


async def test_a_client_is_changed_disabled_and_enabled(store: Store, clock: HandClock) -> None:
    acme = await store.clients.add("acme", key_hash="h1", scopes=["a"])
    changed = await store.clients.change("acme", scopes=["b", "b"], sees_all_customers=True)
    assert (changed.scopes, changed.sees_all_customers) == (frozenset({"b"}), True)
    assert (await store.clients.change("acme")) == changed
    assert (await store.clients.enable("acme", is_enabled=False)).disabled_at == clock()
    found = await store.clients.by_key_hash("h1")
    assert found is not None
    assert found.disabled_at == clock()
    assert (await store.clients.enable("acme")).disabled_at is None
    other = await store.clients.add("beta", key_hash="h2", scopes=[])
    assert [record.name for record in await store.clients.all()] == [acme.name, other.name]
    for refused in (store.clients.enable("nobody", is_enabled=False), store.clients.change("nobody", scopes=[])):
        with pytest.raises(ClientUnknown):
            await refused


async def test_grants_are_added_and_revoked(store: Store) -> None:
    await store.clients.add("acme", key_hash="h1", scopes=[])
    ann, bob, cid = [(await store.directory.create(external_id=name)).id for name in ("ann", "bob", "cid")]
    await store.clients.grant("acme", [ann, bob])
    await store.clients.grant("acme", [bob])
    await store.clients.grant("acme", [])
    assert await store.clients.granted("acme", [ann, bob, cid, "nul\x00"]) == {ann, bob}
    assert await store.clients.granted("beta", [ann]) == set()
    first = await store.clients.grants("acme", limit=1)
    assert first + await store.clients.grants("acme", after=first[0]) == sorted([ann, bob])
    with pytest.raises(CustomerUnknown):
        await store.clients.grant("acme", [cid, "cus_nobody"])
    assert await store.clients.granted("acme", [cid]) == set()
    with pytest.raises(ClientUnknown):
        await store.clients.grant("nobody", [ann])
    assert await store.clients.revoke("acme", [ann, cid]) == 1
    await store.directory.erase(bob)
    assert await store.clients.grants("acme") == []


async def test_every_change_is_published(store: Store, clock: HandClock) -> None:
    ann = (await store.directory.create(external_id="ann")).id
    heard: list[ChangeNotice] = []
    store.on_change(heard.extend)
    await store.clients.add("acme", key_hash="h1", scopes=[])
    await store.clients.rotate("acme", "h2")
    await store.clients.enable("acme", is_enabled=False)
    await store.clients.grant("acme", [ann])
    await store.clients.revoke("acme", [ann])
    assert [(change.topic, change.key) for change in heard] == [(Topic.CLIENT, "acme")] * 5
    assert (await store.changes.since(1)).rows == tuple(heard)
