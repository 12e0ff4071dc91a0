"""Snapshots shared through Redis: taken without a call, encrypted, and never older than what a process dropped."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

import msgspec
import pytest
from redis import Redis

from app.caching.shared_redis import SharedRedis
from app.errors import VaultUnavailable
from app.vault.enums import AddressType, CardBrand, CustomerRef, MethodRef, NextActionKind, ProviderName
from app.vault.model import (
    Address,
    AddressLabels,
    AuthStatus,
    BankAccount,
    Card,
    Expiry,
    Mandate,
    NextAction,
    OtherMethod,
    PersonName,
    Phone,
    StoredAddress,
    ThreeDSecure,
    VaultProfile,
    VaultWallet,
)
from app.vault.secret import Secret
from app.wallet.ids import Ids
from app.wallet.keys import KeyRing
from app.wallet.reads.cache import Key, Read, Source
from app.wallet.reads.reader import to_cached_wallet
from app.wallet.reads.shared_snapshots import SharedSnapshotCache, SnapshotCipher
from tests.support.calls import soon
from tests.support.redis_server import RedisServer

P = ProviderName.LOANPRO
SECRET, OLD = "s" * 40, "o" * 40
FRESH_S, DEADLINE_S = 30.0, 10.0
LASTS_S = FRESH_S + DEADLINE_S + 1
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = date(2025, 6, 30)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _emptied(redis: RedisServer) -> None:
    with Redis.from_url(redis.url) as client:
        client.flushall()


class Vault:
    """The list that every customer has, and the calls."""

    def __init__(self) -> None:
        common = {"provider": P, "customer_ref": CustomerRef("778811"), "created_at": NOW}
        status = ThreeDSecure(status=AuthStatus.AUTHENTICATED, authenticated_at=NOW)
        self.card = Card(
            **common,
            method_ref=MethodRef("m-1"),
            brand=CardBrand.VISA,
            expiry=Expiry(2031, 7),
            last4="4242",
            holder_name="Zoe Holder",
            billing_address=Address(line1="1 High St"),
            three_d_secure=status,
        )
        self.mandate = Mandate(mandate_id="MND-1", signed_on=DAY)
        self.methods: tuple[Card | BankAccount | OtherMethod, ...] = (
            OtherMethod(**common, method_ref=MethodRef("m-3"), provider_kind="gift"),
            self.card,
            BankAccount(
                **common,
                method_ref=MethodRef("m-2"),
                last4="6789",
                mandates=(self.mandate,),
            ),
        )
        home = StoredAddress(
            ref="a-1",
            address=Address(line1="2 Low St"),
            labels=AddressLabels(type=AddressType.SHIPPING, recipient=PersonName("Zoe", "Holder")),
        )
        self.profile = VaultProfile(addresses=(home,), phones=(Phone(number="5550100"),), emails=None, created_at=NOW)
        self.skipped = 0
        self.calls: list[CustomerRef] = []
        self.is_down = False

    async def fetch(self, keys: Sequence[Key], call: object) -> Mapping[CustomerRef, VaultWallet]:
        self.calls += [key[1] for key in keys]
        if self.is_down:
            raise VaultUnavailable(P)
        return {
            ref: VaultWallet(
                provider=P, customer_ref=ref, methods=self.methods, skipped=self.skipped, profile=self.profile
            )
            for _, ref, _ in keys
        }


class Process:
    """One process's cache, some time after its start. `seconds` is its clock."""

    def __init__(self, vault: Vault, redis: RedisServer, *secrets: str, is_new: bool = False) -> None:
        ids = Ids(SECRET)
        self.seconds = 1_000.0
        self.redis = SharedRedis(redis.url, without="nothing is shared", within_s=5)
        self.cache = SharedSnapshotCache(
            10_000_000,
            self.redis,
            KeyRing(secrets or (SECRET,), SnapshotCipher),
            lambda wallet, last: to_cached_wallet(ids, wallet, last),
            {P: FRESH_S + DEADLINE_S},
            monotonic=lambda: self.seconds,
        )
        self.source: Source[VaultWallet] = Source(
            provider=P,
            fetch=vault.fetch,
            prepare=lambda wallet, last: (wallet, to_cached_wallet(ids, wallet, last)),
            fresh_for_s=FRESH_S,
            stale_if_error_for_s=600,
            deadline_s=DEADLINE_S,
            batch_limit=10,
        )
        if not is_new:
            self.cache.clear()
            self.seconds += LASTS_S + 1

    async def read(self, *refs: str, force_fresh: bool = False) -> list[Read[VaultWallet]]:
        """And wait until it is shared."""
        wanted = [((P, CustomerRef(ref), None), self.source) for ref in refs]
        found = await self.cache.read(wanted, soon(20), force_fresh=force_fresh)
        await asyncio.gather(*self.cache._saving)
        return found


@pytest.fixture
async def processes(redis: RedisServer) -> AsyncIterator[tuple[Vault, Process, Process]]:
    vault = Vault()
    one, other = Process(vault, redis), Process(vault, redis)
    yield vault, one, other
    for process in (one, other):
        await process.cache.close()


async def test_one_process_reads_and_the_other_takes_it(processes: tuple[Vault, Process, Process]) -> None:
    vault, one, other = processes
    (first,) = await one.read("778811")
    (again,) = await other.read("778811")
    assert vault.calls == ["778811"]
    assert first.snapshot is not None
    assert again.snapshot is not None
    assert again.snapshot.value == replace(first.snapshot.value, reply=None)
    assert (again.snapshot.as_of, again.snapshot.asked_at) == (first.snapshot.as_of, first.snapshot.asked_at)
    assert 0 < again.snapshot.fresh_until - other.seconds <= FRESH_S
    assert again.snapshot.taken_at <= other.seconds
    await other.read("778811")  # from its own memory
    mixed = await other.read("778811", "778822")
    assert [read.error for read in mixed] == [None, None]
    assert vault.calls == ["778811", "778822"]


async def test_what_a_version_without_profiles_stored_is_not_taken(
    processes: tuple[Vault, Process, Process], redis: RedisServer
) -> None:
    vault, one, other = processes
    await one.read("778811")
    with Redis.from_url(redis.url) as client:
        (name,) = client.keys("*")
        cipher, spelled = SnapshotCipher(SECRET), name.decode()
        stored = msgspec.json.decode(cipher.open(spelled, client.get(name)))
        client.set(name, cipher.seal(spelled, msgspec.json.encode(stored[:-1])), px=30_000)
    (found,) = await other.read("778811")
    assert len(vault.calls) == 2
    assert found.snapshot is not None
    assert found.snapshot.value.profile == vault.profile


@pytest.mark.parametrize("way", ["drop", "clear", "force_fresh", "start"])
async def test_what_may_be_older_than_a_change_is_not_taken(
    processes: tuple[Vault, Process, Process], redis: RedisServer, way: str
) -> None:
    vault, one, other = processes
    await one.read("778811")
    vault.methods = vault.methods[:1]
    if way == "drop":
        other.cache.drop(P, CustomerRef("778811"))
    elif way == "clear":
        other.cache.clear()
    elif way == "start":
        other = Process(vault, redis, is_new=True)
    (found,) = await other.read("778811", force_fresh=way == "force_fresh")
    assert found.snapshot is not None
    assert found.snapshot.value.methods == vault.methods
    assert len(vault.calls) == 2
    other.seconds += FRESH_S + 1
    await other.read("778811")
    assert len(vault.calls) == 3  # still ignored
    other.seconds += LASTS_S
    await other.read("778811")
    assert len(vault.calls) == 3
    await other.redis.close()


async def test_redis_shows_nothing_of_a_customer(processes: tuple[Vault, Process, Process], redis: RedisServer) -> None:
    vault, one, _ = processes
    await one.read("778811")
    with Redis.from_url(redis.url) as client:
        (name,) = client.keys("*")
        value = client.get(name)
        assert 0 < client.pttl(name) <= FRESH_S * 1000
    for plain in (b"778811", b"4242", b"Zoe", b"High St", b"Low St", b"5550100", b"m-1", b"loanpro"):
        assert plain not in name + value
    stranger, rotated = Process(vault, redis, OLD), Process(vault, redis, OLD, SECRET)
    await stranger.read("778811")
    assert len(vault.calls) == 2
    with Redis.from_url(redis.url) as client:
        client.set(name, value[:-1] + bytes([value[-1] ^ 1]), px=30_000)
        await Process(vault, redis).read("778811")
        assert len(vault.calls) == 3  # a changed value is not taken
        client.delete(*(one for one in client.keys("*") if one != name))
    await rotated.read("778811")
    assert len(vault.calls) == 3


async def test_what_is_incomplete_or_has_a_secret_is_not_shared(
    processes: tuple[Vault, Process, Process], redis: RedisServer
) -> None:
    vault, one, other = processes
    vault.skipped = 1
    await one.read("778811")
    vault.skipped = 0
    action = NextAction(kind=NextActionKind.REDIRECT, client_token=Secret("of the browser"))
    status = ThreeDSecure(status=AuthStatus.CHALLENGE_REQUIRED, next_action=action)
    vault.methods = (replace(vault.card, three_d_secure=status),)
    await one.read("778822")
    await other.read("778811", "778822")
    assert len(vault.calls) == 4


async def test_without_redis_or_the_vault_each_works_alone(
    processes: tuple[Vault, Process, Process], redis: RedisServer
) -> None:
    vault, one, other = processes
    await one.read("778811")
    vault.is_down = True
    taken, failed = await other.read("778811", "778822")
    assert (taken.error, type(failed.error)) == (None, VaultUnavailable)
    vault.is_down = False
    redis.stop()
    try:
        other.seconds += FRESH_S + 1
        for process in (one, other):
            (found,) = await process.read("778833")
            assert found.error is None
    finally:
        redis.start()
