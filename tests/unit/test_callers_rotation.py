"""API keys while the digest key is rotated: found under any key, stored anew once every process knows the first one."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from app.api.auth.api_keys import ApiKeys, KeyHasher, new_key
from app.api.auth.key_uses import KeyUseRecorder
from app.store import Store
from app.store.records import ClientKey, KeyUse
from app.wallet.digest import DIGEST_KEY
from app.wallet.writes.lease import WorkerLease
from tests.support.stores import HandClock

OLD, NEW = "the old secret of the server, 0123456789", "the new secret of the server, 0123456789"
BEFORE, AFTER = KeyHasher(OLD), KeyHasher(NEW, OLD)


@pytest.fixture
async def store(sqlite_url: str, clock: HandClock) -> AsyncIterator[Store]:
    opened = Store.open(sqlite_url, clock=clock)
    yield opened
    await opened.close()


async def add(store: Store, hasher: KeyHasher, name: str = "acme") -> str:
    key = new_key()
    await store.clients.add(
        name, key_hash=hasher.hash(key), digest_key=hasher.keys.first_name, scopes=["customers:read"]
    )
    return key


async def stored(store: Store) -> ClientKey:
    found = await store.clients.client("acme")
    assert found is not None
    return found.keys[0]


class Process:
    """One replica's authentication of API keys."""

    def __init__(self, store: Store, clock: HandClock, hasher: KeyHasher) -> None:
        self.lease = WorkerLease(store, clock, keys=lambda: {DIGEST_KEY: list(hasher.keys.keys)})
        self.uses = KeyUseRecorder(store, self.lease, utc_now=clock)
        self.partners = ApiKeys(
            store.clients,
            hasher,
            on_use=self.uses.api_key_used,
            clock=lambda: clock().timestamp(),
            utc_now=clock,
        )

    async def accepts(self, key: str) -> bool:
        self.partners.forget()
        caller = await self.partners.caller(key)
        await self.uses.flush()
        return caller is not None


async def test_a_key_from_before_is_accepted_and_stored_anew(store: Store, clock: HandClock) -> None:
    key = await add(store, BEFORE)
    process = Process(store, clock, AFTER)
    assert await process.accepts(key)
    assert await stored(store) == ClientKey(
        id=(await stored(store)).id,
        key_hash=KeyHasher(NEW).hash(key),
        digest_key=AFTER.keys.first_name,
        created_at=clock(),
        expires_at=None,
        last_used_at=clock(),
    )
    assert await process.accepts(key)
    assert await Process(store, clock, KeyHasher(NEW)).accepts(key), "the old secret is not needed any more"
    assert not await Process(store, clock, BEFORE).accepts(key)


async def test_a_key_stays_as_it_is_while_another_process_lacks_the_new_secret(store: Store, clock: HandClock) -> None:
    key = await add(store, BEFORE)
    await store.worker_leases.register(
        "own_other", host="another-machine", pid=1, keys={DIGEST_KEY: list(BEFORE.keys.keys)}
    )
    process = Process(store, clock, AFTER)
    assert await process.accepts(key)
    assert (await stored(store)).digest_key == BEFORE.keys.first_name
    assert await Process(store, clock, BEFORE).accepts(key)
    for known in (KeyHasher(OLD, NEW), AFTER):  # the other process learns the new secret, then uses it
        assert (await stored(store)).digest_key == BEFORE.keys.first_name
        await store.worker_leases.beat("own_other", keys={DIGEST_KEY: list(known.keys.keys)})
        assert await process.accepts(key)
    assert (await stored(store)).digest_key == AFTER.keys.first_name


async def test_a_key_of_a_version_before_names_gets_its_name(store: Store, clock: HandClock) -> None:
    key = new_key()
    await store.clients.add("acme", key_hash=BEFORE.hash(key), scopes=[])
    assert await Process(store, clock, BEFORE).accepts(key)
    assert (await stored(store)).digest_key == BEFORE.keys.first_name


async def test_a_stream_stays_while_its_key_is_stored_anew(store: Store, clock: HandClock) -> None:
    key = await add(store, BEFORE)
    process = Process(store, clock, BEFORE)
    caller = await process.partners.caller(key)
    assert caller is not None
    assert caller.key_id == (await stored(store)).id
    assert await Process(store, clock, AFTER).accepts(key)
    process.partners.forget()
    assert await process.partners.revalidate(caller) == caller
    await store.clients.revoke_key("acme", caller.key_id)
    process.partners.forget()
    assert await process.partners.revalidate(caller) is None


async def test_the_last_use_is_written_at_most_once_per_hour(store: Store, clock: HandClock) -> None:
    key, process = await add(store, BEFORE), Process(store, clock, BEFORE)
    assert (await stored(store)).last_used_at is None
    first = clock()
    for minutes in (0, 1, 58):
        clock.advance(minutes=minutes)
        assert await process.accepts(key)
        assert (await stored(store)).last_used_at == first
    clock.advance(minutes=1)
    assert await process.accepts(key)
    assert (await stored(store)).last_used_at == first + timedelta(hours=1)
    assert not await process.accepts(new_key())


async def test_uses_of_old_keys_are_written_at_most_once_per_hour(store: Store, clock: HandClock) -> None:
    since, uses = clock(), Process(store, clock, AFTER).uses
    await store.key_uses.know("id", ["new", "old"])
    for minutes in (1, 30):
        clock.advance(minutes=minutes)
        uses.old_key_used("id", "old")
        await uses.flush()
    await store.key_uses.know("id", ["new", "old"])
    unused = KeyUse(purpose="id", name="new", known_since=since, last_used_at=None)
    used = KeyUse(purpose="id", name="old", known_since=since, last_used_at=since + timedelta(minutes=1))
    assert sorted(await store.key_uses.all(), key=lambda one: one.name) == [unused, used]
    clock.advance(minutes=30)
    uses.old_key_used("id", "old")
    await uses.flush()
    assert {one.last_used_at for one in await store.key_uses.all()} == {None, clock()}
