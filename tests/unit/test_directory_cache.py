"""The directory's cache: one read until something changes, and no stale entry after a change."""

from collections.abc import Sequence

import pytest

from app.vault.enums import ProviderName
from app.wallet.reads.customers import CustomerCache
from tests.support.memory import MemoryDirectory, P


async def test_customers_are_read_once_until_they_change() -> None:
    directory = MemoryDirectory()
    directory.add("cus_a", {})
    directory.add("cus_b", {})
    cache = CustomerCache(directory, limit=2)
    await cache.entries(["cus_a"])
    await cache.entries(["cus_a", "cus_b", "cus_a"])
    assert directory.reads == [["cus_a"], ["cus_b"]]
    cache.drop("cus_a")
    await cache.entries(["cus_a", "cus_b", "cus_nobody"])
    assert directory.reads[2:] == [["cus_a", "cus_nobody"]]
    cache.clear()
    await cache.entries(["cus_b"])
    assert directory.reads[3:] == [["cus_b"]]


async def test_the_least_recently_used_customer_is_forgotten_first() -> None:
    directory = MemoryDirectory()
    for customer_id in ("cus_a", "cus_b", "cus_c"):
        directory.add(customer_id, {})
    cache = CustomerCache(directory, limit=2)
    for customer_id in ("cus_a", "cus_b", "cus_a", "cus_c", "cus_a"):
        await cache.entries([customer_id])
    assert directory.reads == [["cus_a"], ["cus_b"], ["cus_c"]]


async def test_refs_outlive_the_customer_and_their_removal_is_reported() -> None:
    directory = MemoryDirectory()
    for name in "abc":
        directory.add(f"cus_{name}", {P.LOANPRO: f"lp-{name}", P.CASELLE: f"cs-{name}"})
    removed: list[tuple[ProviderName, str]] = []
    cache = CustomerCache(directory, limit=1, refs_limit=2, on_forgotten=lambda *refs: removed.append(refs))
    await cache.entries(["cus_a", "cus_b"])
    cache.drop("cus_a")
    assert cache.refs_of("cus_a") == ((P.LOANPRO, "lp-a"), (P.CASELLE, "cs-a"))
    assert cache.refs_of("cus_nobody") == ()
    await cache.entries(["cus_c"])
    assert cache.refs_of("cus_a") == ()
    assert removed == [(P.LOANPRO, "lp-a"), (P.CASELLE, "cs-a")]


@pytest.mark.parametrize("change", ["drop", "clear"])
async def test_what_changed_while_it_was_read_is_answered_and_not_kept(change: str) -> None:
    directory = MemoryDirectory()
    directory.add("cus_a", {})
    cache = CustomerCache(directory)
    asked = directory.entries

    async def changing(ids: Sequence[str]) -> object:
        found = await asked(ids)
        if change == "drop":
            cache.drop("cus_a")
        else:
            cache.clear()
        return found

    directory.entries = changing  # type: ignore[method-assign, assignment]
    assert "cus_a" in await cache.entries(["cus_a"])
    directory.entries = asked  # type: ignore[method-assign]
    await cache.entries(["cus_a"])
    await cache.entries(["cus_a"])
    assert len(directory.reads) == 2
