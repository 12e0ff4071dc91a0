"""API keys of partners: stored as hashes, refused within a second once disabled, cheap to reject when guessed."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from app.api.auth.api_keys import ApiKeys, KeyHasher, looks_like_key, new_key
from app.store import Store
from app.store.clients import Clients
from app.store.records import ClientRecord
from app.wallet.caller import CallerKind
from tests.support.stores import HandClock

HASHER = KeyHasher("a-secret-of-the-server-0123456789-abcdef")


class Watched:
    """The repository, counting lookups of keys."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.asked = self.lists = 0
        self.at_once = 0
        self.most_at_once = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.clients, name)

    async def key_hashes(self, *, limit: int) -> frozenset[str]:
        self.lists += 1
        return await self.clients.key_hashes(limit=limit)

    async def by_key_hash(self, key_hash: str) -> ClientRecord | None:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self.clients.by_key_hash(key_hash)
        finally:
            self.at_once -= 1


@pytest.fixture
async def store(sqlite_url: str, clock: HandClock) -> AsyncIterator[Store]:
    opened = Store.open(sqlite_url, clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
def watched(store: Store) -> Watched:
    return Watched(store.clients)


@pytest.fixture
def partners(watched: Watched, clock: HandClock) -> ApiKeys:
    return ApiKeys(watched, HASHER, clock=lambda: clock().timestamp(), utc_now=clock)  # type: ignore[arg-type]


async def add(store: Store, name: str = "acme", **more: Any) -> str:
    key = new_key()
    await store.clients.add(name, key_hash=HASHER.hash(key), scopes=["customers:read", "nonsense"], **more)
    return key


def test_keys_are_long_random_and_recognisable() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(looks_like_key(key) and key.startswith("vg_") and len(key) == 46 for key in keys)
    for other in (
        "",
        "vg_",
        "vg_" + "a" * 42,
        "vg_" + "a" * 44,
        "xx_" + "a" * 43,
        "vg_" + "ä" * 43,
        "vg_" + "a" * 43 + "\n",
    ):
        assert not looks_like_key(other)


def test_a_hash_needs_the_servers_secret() -> None:
    key = new_key()
    assert HASHER.hash(key) == HASHER.hash(key)
    assert len(HASHER.hash(key)) == 64
    assert KeyHasher("another-secret-of-a-server-0123456789").hash(key) != HASHER.hash(key)


async def test_a_key_is_its_partners(store: Store, partners: ApiKeys) -> None:
    key = await add(store)
    caller = await partners.caller(key)
    assert caller is not None
    assert (caller.kind, caller.name, caller.key) == (CallerKind.PARTNER, "acme", "partner:acme")
    assert caller.scopes == {"customers:read"}, "a scope that we do not know grants nothing"
    assert caller.granted == frozenset(), "nothing is granted until it is"
    assert await partners.caller(new_key()) is None


async def test_a_partner_of_all_customers(store: Store, partners: ApiKeys) -> None:
    caller = await partners.caller(await add(store, sees_all_customers=True))
    assert caller is not None
    assert caller.granted is None


async def test_text_without_key_shape_is_not_looked_up(partners: ApiKeys, watched: Watched) -> None:
    for text in ("", "vg_short", "' OR 1=1 --", "vg_" + "a" * 43 + "=", "x" * 100_000):
        assert await partners.caller(text) is None
    assert watched.asked == 0


async def test_lookups_are_cached_for_a_second_even_for_unknown_keys(
    store: Store, partners: ApiKeys, watched: Watched, clock: HandClock
) -> None:
    key, wrong = await add(store), new_key()
    for _ in range(5):
        assert await partners.caller(key) is not None
        assert await partners.caller(wrong) is None
    assert watched.asked == 2
    clock.advance(seconds=1.1)
    assert await partners.caller(key) is not None
    assert watched.asked == 3


async def test_a_disabled_partner_is_refused_within_a_second(store: Store, partners: ApiKeys, clock: HandClock) -> None:
    key = await add(store)
    assert await partners.caller(key) is not None
    await store.clients.enable("acme", is_enabled=False)
    clock.advance(seconds=1.1)
    assert await partners.caller(key) is None
    assert partners.why_refused(key) == "its partner is disabled, or it was revoked"
    await store.clients.enable("acme")
    partners.forget("acme")
    assert await partners.caller(key) is not None, "hearing of the change is faster still"


async def test_during_rotation_both_keys_work_until_the_old_one_ends(
    store: Store, partners: ApiKeys, clock: HandClock
) -> None:
    old, new = await add(store), new_key()
    clock.advance(seconds=1.1)
    await store.clients.rotate("acme", HASHER.hash(new), old_until=clock() + timedelta(milliseconds=500))
    for key in (old, new):
        assert await partners.caller(key) is not None
    clock.advance(milliseconds=500)
    assert await partners.caller(old) is None, "a kept answer ends with its key"
    assert re.fullmatch("key_[0-9A-Z]{26} has expired", partners.why_refused(old))
    assert await partners.caller(new) is not None


async def test_grants_are_read_again_when_they_change(store: Store, partners: ApiKeys, clock: HandClock) -> None:
    for name in ("a", "b"):
        await store.directory.create(customer_id=f"cus_{name}", external_id=name)
    key = await add(store)
    await store.clients.grant("acme", ["cus_a"])
    caller = await partners.caller(key)
    assert caller is not None
    assert (caller.may_see("cus_a"), caller.may_see("cus_b")) == (True, False)
    await store.clients.grant("acme", ["cus_b"])
    await store.clients.revoke("acme", ["cus_a"])
    partners.forget("acme")
    caller = await partners.caller(key)
    assert caller is not None
    assert caller.granted == {"cus_b"}


async def test_a_stream_can_revalidate_its_caller(store: Store, partners: ApiKeys, clock: HandClock) -> None:
    caller = await partners.caller(await add(store))
    assert caller is not None
    assert await partners.revalidate(caller) == caller
    await store.clients.change("acme", scopes=["explore"])
    partners.forget("acme")
    changed = await partners.revalidate(caller)
    assert changed is not None
    assert changed.scopes == {"explore"}
    await store.clients.enable("acme", is_enabled=False)
    clock.advance(seconds=1.1)
    assert await partners.revalidate(caller) is None


async def test_a_stream_ends_with_the_key_that_opened_it(store: Store, partners: ApiKeys, clock: HandClock) -> None:
    """The partner's new key is valid, but a socket opened with the old one must end."""
    first = await add(store)
    caller = await partners.caller(first)
    assert caller is not None
    new = new_key()
    for key in (new_key(), new):  # two are valid at most
        clock.advance(seconds=1.1)
        await store.clients.rotate("acme", HASHER.hash(key))
    partners.forget("acme")
    assert await partners.caller(first) is None
    assert await partners.revalidate(caller) is None
    now = await partners.caller(new)
    assert now is not None
    assert await partners.revalidate(now) == now


async def test_concurrent_lookups_of_a_key_are_shared(store: Store, partners: ApiKeys, watched: Watched) -> None:
    key = await add(store)
    found = await asyncio.gather(*(partners.caller(key) for _ in range(50)))
    assert (watched.asked, watched.lists) == (1, 1)
    assert all(found)


async def test_guessed_keys_need_no_lookup_and_no_memory(
    store: Store, partners: ApiKeys, watched: Watched, clock: HandClock
) -> None:
    key = await add(store)
    for _ in range(3):
        found = await asyncio.gather(*(partners.caller(new_key()) for _ in range(200)))
        assert not any(found)
        clock.advance(seconds=1.1)
    assert (watched.asked, watched.lists) == (3, 1), "one a second, in case its partner was just added elsewhere"
    assert await partners.caller(key) is not None
    assert len(partners._known) == 1
    assert partners._running == {}


async def test_a_key_added_by_another_process_is_known_at_once_or_after_its_notice(
    store: Store, partners: ApiKeys, watched: Watched
) -> None:
    assert await partners.caller(new_key()) is None, "the one look-up of this second"
    keys = [await add(store, f"acme{number}") for number in range(2)]
    assert await partners.caller(keys[0]) is None
    partners.forget("acme0")
    assert [caller is not None for caller in [await partners.caller(key) for key in keys]] == [True, True]
    assert watched.lists == 2


async def test_a_removed_key_is_not_looked_up_each_time(
    store: Store, partners: ApiKeys, watched: Watched, clock: HandClock
) -> None:
    key = await add(store)
    assert await partners.caller(key) is not None
    for _ in range(2):
        clock.advance(seconds=1.1)  # the newest keys stay: they need different times of creation
        await store.clients.rotate("acme", HASHER.hash(new_key()))
    clock.advance(seconds=1.1)
    for _ in range(5):
        assert await partners.caller(key) is None
    assert watched.asked == 2


async def test_with_too_many_keys_for_memory_guesses_queue(watched: Watched, store: Store, clock: HandClock) -> None:
    keys = [await add(store, f"acme{number}") for number in range(3)]
    small = ApiKeys(watched, HASHER, most=2, most_keys=2, clock=lambda: clock().timestamp())  # type: ignore[arg-type]
    assert all([await small.caller(key) for key in keys])
    assert len(small._known) == 2
    await asyncio.gather(*(small.caller(new_key()) for _ in range(200)))
    assert watched.most_at_once <= 8
    assert small._running == {}


async def test_scopes_for_all_customers_need_access_to_all_customers(store: Store, partners: ApiKeys) -> None:
    """A partner added in that state by an older release."""
    said = ["links:write", "import:write", "links:read", "customers:write"]
    for name, sees_all in (("some", False), ("all", True)):
        key = new_key()
        await store.clients.add(name, key_hash=HASHER.hash(key), scopes=said, sees_all_customers=sees_all)
        caller = await partners.caller(key)
        assert caller is not None
        assert caller.scopes == set(said if sees_all else said[2:])
