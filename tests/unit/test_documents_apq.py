"""Automatic persisted queries: limits per client, and verification of texts from Redis."""

from collections.abc import Iterator

import pytest

from app.api.documents.apq import AutomaticPersistedQueries, LocalApqStore, RedisApqStore, digest_of
from tests.support.redis_server import RedisServer


def text(number: int, size: int = 800) -> str:
    return f"{{ a{number} }}".ljust(size)


def fill(store: LocalApqStore, client: str, numbers: range) -> None:
    for number in numbers:
        store.keep(digest_of(text(number)), text(number), client)


def kept(store: LocalApqStore, numbers: range) -> list[int]:
    return [number for number in numbers if store.text(digest_of(text(number))) is not None]


def test_a_client_over_its_share_evicts_only_its_own_texts() -> None:
    store = LocalApqStore(max_bytes=100_000, share=0.1)  # ten texts of 800 and 200 bytes for each
    fill(store, "web", range(5))
    fill(store, "attacker", range(100, 1100))
    assert kept(store, range(5)) == [0, 1, 2, 3, 4]
    assert kept(store, range(100, 1100)) == list(range(1090, 1100))
    assert (len(store), store.bytes) == (15, 15_000)


def test_the_least_recently_used_text_is_evicted_first() -> None:
    store = LocalApqStore(max_bytes=100_000, share=0.03)
    fill(store, "web", range(3))
    assert store.text(digest_of(text(0))) == text(0)
    fill(store, "web", range(3, 4))
    assert kept(store, range(4)) == [0, 2, 3]


def test_the_total_is_bounded_and_the_longest_idle_client_is_evicted() -> None:
    store = LocalApqStore(max_bytes=10_000, share=0.5)
    for number in range(20):
        fill(store, f"client {number}", range(number, number + 1))
    assert store.bytes == 10_000
    assert kept(store, range(20)) == list(range(10, 20))


def test_a_text_larger_than_a_share_is_not_cached_and_no_text_is_cached_twice() -> None:
    store = LocalApqStore(max_bytes=10_000, share=0.2)
    big = text(1, 1_900)
    store.keep(digest_of(big), big, "web")
    assert len(store) == 0
    fill(store, "web", range(1))
    fill(store, "other", range(1))
    assert (len(store), store.bytes) == (1, 1_000)


def test_lone_surrogates_are_text_like_any_other() -> None:
    store = LocalApqStore(max_bytes=10_000, share=1)
    strange = '{ a(b: "\ud800") }'
    store.keep(digest_of(strange), strange, "web")
    assert store.text(digest_of(strange)) == strange


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def replica(redis: RedisServer, prefix: str, share_bytes: int = 100_000) -> AutomaticPersistedQueries:
    return AutomaticPersistedQueries(
        LocalApqStore(max_bytes=100_000, share=1), RedisApqStore(redis.url, share_bytes=share_bytes, prefix=prefix)
    )


async def test_a_text_sent_to_one_replica_is_known_to_the_others(redis: RedisServer) -> None:
    one, other = (replica(redis, "test-share:") for _ in range(2))
    await one.keep(digest_of("{ a }"), "{ a }", "staff:web")
    assert await other.text(digest_of("{ a }"), "staff:web") == "{ a }"
    assert await other.text(digest_of("{ b }"), "staff:web") is None
    await one.close()
    assert await other.text(digest_of("{ a }"), "staff:web") == "{ a }", "kept in process by now"
    await other.close()


async def test_a_text_that_does_not_match_its_hash_is_a_miss(redis: RedisServer) -> None:
    texts = RedisApqStore(redis.url, share_bytes=1_000, prefix="test-proof:")
    await texts._redis.client.set("test-proof:" + digest_of("{ a }"), b"{ b }")
    assert await texts.text(digest_of("{ a }")) is None
    await texts.close()


async def test_the_shared_store_gives_each_client_its_share(redis: RedisServer) -> None:
    texts = RedisApqStore(redis.url, share_bytes=3_000, prefix="test-account:")
    for number in range(10):
        await texts.keep(digest_of(text(number)), text(number), "end_user:mallory")
    await texts.keep(digest_of(text(50)), text(50), "end_user:ann")
    found = [number for number in (*range(10), 50) if await texts.text(digest_of(text(number))) is not None]
    assert found == [0, 1, 2, 50]
    assert await texts._redis.client.ttl("test-account:" + digest_of(text(0))) > 3600
    await texts.close()


async def test_an_unavailable_redis_is_a_miss_and_not_retried_at_once() -> None:
    now = 0.0
    texts = RedisApqStore("redis://127.0.0.1:1", share_bytes=1_000, clock=lambda: now)
    store = AutomaticPersistedQueries(LocalApqStore(max_bytes=10_000, share=1), texts)
    assert await store.text(digest_of("{ a }"), "staff:web") is None
    assert texts._redis._rest_until == 1.0
    await store.keep(digest_of("{ a }"), "{ a }", "staff:web")
    assert await store.text(digest_of("{ a }"), "staff:web") == "{ a }"
    await store.close()
