"""A built wallet is reused only while none of its inputs has changed, and is dropped with them."""

import gc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.store.records import ChoiceRecord, DirectoryEntry, MethodAddress
from app.vault.enums import (
    CustomerRef,
    DefaultState,
    ExpiryState,
    MethodRef,
    ProviderCapability,
    ProviderName,
    SourceState,
)
from app.vault.model import Expiry, VaultWallet
from app.wallet.defaults.stored_choice import ChoiceChange
from app.wallet.ids import Ids
from app.wallet.reads.build_wallet import WalletRules, build_wallet
from app.wallet.reads.reader import SourceReading, to_cached_wallet
from app.wallet.reads.wallet_cache import WalletCache
from tests.support.memory import NOW, MemoryDirectory, P, card

IDS = Ids("k" * 32)
RULES = WalletRules(
    operations={name: frozenset({ProviderCapability.LIST}) for name in ProviderName},
    precedence=tuple(ProviderName),
    group_secret=b"g" * 32,
)


def entry_of(customer_id: str = "cus_a") -> Any:
    directory = MemoryDirectory()
    directory.add(customer_id, {P.LOANPRO: "37", P.CASELLE: "cs"})
    return directory.known[customer_id]


def reading(*methods: Any, provider: ProviderName = P.LOANPRO, ref: str = "37", **fields: Any) -> SourceReading:
    wallet = VaultWallet(
        provider=provider,
        customer_ref=CustomerRef(ref),
        methods=tuple(replace(one, provider=provider, customer_ref=CustomerRef(ref)) for one in methods),
    )
    at = {"asked_at": NOW, "fetched_at": NOW, **fields}
    return SourceReading(
        state=fields.pop("state", SourceState.OK), held=to_cached_wallet(wallet, IDS), **{**at, **fields}
    )


def test_the_same_parts_give_the_same_methods_and_what_assembling_gives() -> None:
    assembler, entry, one = WalletCache(RULES), entry_of(), reading(card("1"), card("2"))
    first = assembler.get_or_build(entry, {P.LOANPRO: one}, NOW)
    again = assembler.get_or_build(entry, {P.LOANPRO: replace(one)}, NOW + timedelta(hours=1))
    assert again is first
    assert again == build_wallet(entry, {P.LOANPRO: one}, RULES, NOW)


def test_the_very_same_readings_give_the_same_wallet_until_a_card_may_have_expired() -> None:
    assembler, entry, one = WalletCache(RULES), entry_of(), reading(card("1", expiry=Expiry(NOW.year, NOW.month)))
    first = assembler.get_or_build(entry, {P.LOANPRO: one}, NOW)
    assert assembler.get_or_build(entry, {P.LOANPRO: one}, NOW + timedelta(minutes=1)) is first
    later = NOW + timedelta(days=70)
    over = assembler.get_or_build(entry, {P.LOANPRO: one}, later)
    assert over == build_wallet(entry, {P.LOANPRO: one}, RULES, later)
    assert [method.expiry_state for method in over.methods] == [ExpiryState.EXPIRED]


def test_rows_tell_of_the_call_that_was_made_now() -> None:
    assembler, entry, one = WalletCache(RULES), entry_of(), reading(card("1"), latency_ms=12)
    first = assembler.get_or_build(entry, {P.LOANPRO: one}, NOW)
    later = replace(one, latency_ms=None, provider_request_id="req-2")
    again = assembler.get_or_build(entry, {P.LOANPRO: later}, NOW)
    assert again.methods is first.methods
    assert again == build_wallet(entry, {P.LOANPRO: later}, RULES, NOW)
    assert first.sources[P.LOANPRO].latency_ms == 12


def test_every_part_that_changes_makes_it_anew() -> None:
    entry, one = entry_of(), reading(card("1"))
    base = (entry, {P.LOANPRO: one}, NOW)
    other = reading(card("1"))
    changed: list[tuple[Any, Any, datetime]] = [
        (entry_of(), {P.LOANPRO: one}, NOW),
        (entry, {P.LOANPRO: other}, NOW),
        (entry, {P.LOANPRO: replace(one, is_stale=True)}, NOW),
        (entry, {P.LOANPRO: replace(one, state=SourceState.PARTIAL)}, NOW),
        (entry, {P.LOANPRO: one, P.CASELLE: reading(provider=P.CASELLE, ref="cs")}, NOW),
        (entry, {}, NOW),
        (entry, {P.LOANPRO: one}, datetime(2029, 1, 1, tzinfo=UTC)),
    ]
    for parts in changed:
        assembler = WalletCache(RULES)
        first = assembler.get_or_build(*base)
        second = assembler.get_or_build(*parts)
        assert second.methods is not first.methods or not second.methods, parts
        assert second == build_wallet(parts[0], parts[1], RULES, parts[2])


def test_nothing_outlives_its_snapshot() -> None:
    assembler, entry = WalletCache(RULES), entry_of()
    one = reading(card("1"))
    assembler.get_or_build(entry, {P.LOANPRO: one}, NOW)
    assert len(assembler) == 1
    newer = reading(card("2"))
    assembler.get_or_build(entry, {P.LOANPRO: newer}, NOW)
    del one
    gc.collect()
    assert len(assembler) == 1, "the later record must not go with the earlier snapshot"
    del newer
    gc.collect()
    assert len(assembler) == 0


def test_it_is_bounded_by_methods_and_the_least_used_goes_first() -> None:
    assembler = WalletCache(RULES, most_methods=4)
    kept = {key: (entry_of(key), reading(card("1"), card("2"))) for key in ("cus_a", "cus_b", "cus_c")}

    def ask(key: str) -> Any:
        entry, one = kept[key]
        return assembler.get_or_build(entry, {P.LOANPRO: one}, NOW)

    first, second = ask("cus_a"), ask("cus_b")
    assert ask("cus_a") is first
    ask("cus_c")
    assert len(assembler) == 2
    assert ask("cus_a") is first
    assert ask("cus_b") is not second
    entry, _ = kept["cus_a"]
    assembler.get_or_build(entry, {P.LOANPRO: reading(*[card(str(n)) for n in range(5)])}, NOW)
    assert len(assembler) == 1, "what is larger than the bound is not kept, nor what it replaces"


def test_a_view_is_built_once_for_the_same_methods_at_any_time() -> None:
    assembler, entry, one = WalletCache(RULES), entry_of(), reading(card("1"))
    built: list[str] = []

    def build(wallet: Any) -> list[str]:
        built.append("built")
        return [method.id for method in wallet.methods]

    wallet = assembler.get_or_build(entry, {P.LOANPRO: one}, NOW)
    first = assembler.view(wallet, build)
    assert assembler.view(wallet, build) is first
    at = NOW + timedelta(minutes=5)
    later = assembler.get_or_build(entry, {P.LOANPRO: replace(one, asked_at=at, fetched_at=at)}, at)
    assert (later.methods, later.sources[P.LOANPRO].fetched_at) == (wallet.methods, at)
    assert later.methods is wallet.methods
    assert assembler.view(later, build) is first
    foreign = build_wallet(entry, {P.LOANPRO: one}, RULES, NOW)
    assert assembler.view(foreign, build) is not first
    assert built == ["built", "built"]


def test_a_reading_from_before_the_choice_proves_nothing_against_it() -> None:
    assembler = WalletCache(RULES)
    entry = entry_of()
    chosen = MethodAddress(P.LOANPRO, CustomerRef("37"), MethodRef("gone"))
    choice = ChoiceRecord(
        customer_id="cus_a",
        provider=chosen.provider,
        customer_ref=chosen.customer_ref,
        method_ref=chosen.method_ref,
        allow_expired=False,
        set_at=NOW,
        set_by="a person",
    )
    entry = replace(entry, choice=choice)
    one = reading(card("1"))

    def change(seconds: float, entry: DirectoryEntry = entry) -> ChoiceChange | None:
        asked_at = NOW + timedelta(seconds=seconds)
        return assembler.get_or_build(entry, {P.LOANPRO: replace(one, asked_at=asked_at)}, NOW).default.choice_change

    assert (change(-1), change(1)) == (None, ChoiceChange.MISSING)
    marked = replace(entry, choice=replace(choice, missing_since=NOW + timedelta(seconds=1)))
    assert [change(seconds, marked) for seconds in (-1, 1, 2, 300, 301)] == [None, None, None, None, ChoiceChange.GONE]


def test_a_method_that_is_listed_again_resets_what_was_missing() -> None:
    assembler = WalletCache(RULES)
    one = reading(card("1"))
    method = one.held.entries[0].method if one.held else None
    assert method is not None
    choice = ChoiceRecord(
        customer_id="cus_a",
        provider=method.provider,
        customer_ref=method.customer_ref,
        method_ref=method.method_ref,
        allow_expired=False,
        set_at=NOW,
        set_by="a person",
        missing_since=NOW + timedelta(seconds=1),
    )
    entry = replace(entry_of(), choice=choice)
    for seconds, change in ((0.5, None), (1, None), (2, ChoiceChange.BACK)):
        asked_at = NOW + timedelta(seconds=seconds)
        default = assembler.get_or_build(entry, {P.LOANPRO: replace(one, asked_at=asked_at)}, NOW).default
        assert (default.state, default.choice_change) == (DefaultState.RESOLVED, change)
