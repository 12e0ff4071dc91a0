"""A built wallet is used again only while nothing that it depends on has changed, and never outlives its snapshots."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from msgspec import structs

from app.store.records import ChoiceRecord, DirectoryEntry
from app.vault.enums import CustomerRef, DefaultState, ExpiryState, ProviderName, SourceState
from app.vault.model import Expiry
from app.wallet.defaults.stored_choice import ChoiceChange
from app.wallet.reads.build_wallet import Wallet, build_wallet
from app.wallet.reads.reader import SourceReading
from app.wallet.reads.wallet_cache import BuiltWallet, WalletCache
from tests.support.calls import soon
from tests.support.memory import NOW, P, World, card, choice_of

VAULTS = frozenset({P.LOANPRO, P.CASELLE})
LATER = NOW + timedelta(days=70)


class Setup:
    """`cus_a` has card 9 at LoanPro and none at Caselle."""

    def __init__(self, **world: Any) -> None:
        self.world = World(**world)
        self.wallets = self.world.services.wallets
        self.link("cus_a", "37")
        self.world.vaults[P.CASELLE].put("cs")
        self.world.vaults[P.LOANPRO].put("37", card("9", expiry=Expiry(NOW.year, NOW.month)))

    def link(self, customer_id: str, ref: str) -> None:
        self.world.directory.add(customer_id, {P.LOANPRO: ref, P.CASELLE: "cs"})

    def entry(self, customer_id: str = "cus_a") -> DirectoryEntry:
        return self.world.directory.known[customer_id]

    async def read(self, customer_id: str = "cus_a", *, force_fresh: bool = False) -> dict[ProviderName, SourceReading]:
        links = {link.provider: link.customer_ref for link in self.entry(customer_id).links}
        return await self.world.services.reader.read(links, list(links), soon(), force_fresh=force_fresh)

    async def built(self, customer_id: str = "cus_a", now: datetime = NOW) -> BuiltWallet:
        return self.wallets.get_or_build(self.entry(customer_id), VAULTS, await self.read(customer_id), now)

    def afresh(self, readings: dict[ProviderName, SourceReading], now: datetime = NOW) -> Wallet:
        return build_wallet(self.entry(), readings, self.world.services.rules, now)


async def test_a_wallet_is_fresh_as_long_as_its_snapshots() -> None:
    setup = Setup()
    assert setup.wallets.get_fresh(setup.entry(), VAULTS, NOW) is None
    read = await setup.built()
    assert None not in {read.wallet.sources[name].latency_ms for name in VAULTS}
    built = setup.wallets.get_fresh(setup.entry(), VAULTS, NOW)
    assert built is not None
    assert {one.latency_ms for one in built.wallet.sources.values()} == {None}
    assert built.wallet.methods is read.wallet.methods
    assert setup.wallets.get_fresh(setup.entry(), VAULTS, NOW) is built
    assert setup.wallets.get_fresh(setup.entry(), frozenset({P.LOANPRO}), NOW) is None
    assert setup.wallets.get_fresh(replace(setup.entry()), VAULTS, NOW) is None, "the customer has changed"
    assert setup.wallets.get_fresh(setup.entry(), VAULTS, NOW + timedelta(hours=1)) is None, "a card may have expired"
    setup.world.services.reader.snapshots.drop(P.CASELLE, CustomerRef("cs"))
    assert setup.wallets.get_fresh(setup.entry(), VAULTS, NOW) is None


async def test_the_same_inputs_give_the_same_methods_and_graph_objects() -> None:
    setup = Setup()
    first = await setup.built()
    first.methods = graph = object()
    readings = await setup.read(force_fresh=True)
    again = setup.wallets.get_or_build(setup.entry(), VAULTS, readings, NOW + timedelta(hours=1))
    assert again.wallet.methods is first.wallet.methods
    assert again.methods is graph
    assert again.wallet == setup.afresh(readings)
    assert again.wallet.sources[P.LOANPRO] is readings[P.LOANPRO]


async def test_every_input_that_changes_gives_a_new_wallet() -> None:
    changes: list[Any] = [
        lambda setup, readings: setup.link("cus_a", "37"),
        lambda setup, readings: readings.update({P.LOANPRO: structs.replace(readings[P.LOANPRO], is_stale=True)}),
        lambda setup, readings: readings.update(
            {P.LOANPRO: structs.replace(readings[P.LOANPRO], state=SourceState.PARTIAL)}
        ),
        lambda setup, readings: readings.pop(P.CASELLE),
        lambda setup, readings: readings.clear(),
    ]
    for change in changes:
        setup = Setup()
        first, readings = await setup.built(), await setup.read()
        change(setup, readings)
        second = setup.wallets.get_or_build(setup.entry(), VAULTS, readings, NOW).wallet
        assert second.methods is not first.wallet.methods or not second.methods
        assert second == setup.afresh(readings)
    setup = Setup()
    first = await setup.built()
    expired = await setup.built(now=LATER)
    assert [one.expiry_state for one in first.wallet.methods] == [ExpiryState.EXPIRING_SOON]
    assert [one.expiry_state for one in expired.wallet.methods] == [ExpiryState.EXPIRED]
    setup.world.vaults[P.LOANPRO].put("37", card("10"))
    await setup.read(force_fresh=True)
    assert [one.method.method_ref for one in (await setup.built()).wallet.methods] == ["10"]


async def test_nothing_outlives_its_snapshots() -> None:
    setup = Setup()
    await setup.built()
    assert len(setup.wallets) == 1
    await setup.read(force_fresh=True)
    await setup.built()
    assert len(setup.wallets) == 1, "a newer snapshot replaces the former one"
    setup.world.services.reader.snapshots.drop(P.LOANPRO, CustomerRef("37"))
    assert len(setup.wallets) == 0
    assert not setup.wallets._keys
    await setup.built()
    setup.world.services.reader.snapshots.clear()
    assert len(setup.wallets) == 0


async def test_what_no_snapshot_holds_is_not_kept() -> None:
    setup = Setup()
    readings = await setup.read()
    setup.world.services.reader.snapshots.drop(P.LOANPRO, CustomerRef("37"))
    setup.wallets.get_or_build(setup.entry(), VAULTS, readings, NOW)
    assert (len(setup.wallets), setup.wallets._keys) == (0, {})


async def test_it_is_bounded_by_methods_and_the_least_used_goes_first() -> None:
    setup = Setup()
    setup.wallets = WalletCache(setup.world.services.rules, setup.world.services.reader.snapshots, most_methods=4)
    for number in (1, 2, 3):
        setup.link(f"cus_{number}", str(number))
        setup.world.vaults[P.LOANPRO].put(str(number), card("1"), card("2"))
    first, second = await setup.built("cus_1"), await setup.built("cus_2")
    assert (await setup.built("cus_1")).wallet.methods is first.wallet.methods
    await setup.built("cus_3")
    assert len(setup.wallets) == 2
    assert (await setup.built("cus_1")).wallet.methods is first.wallet.methods
    assert (await setup.built("cus_2")).wallet.methods is not second.wallet.methods
    setup.world.vaults[P.LOANPRO].put("1", *[card(str(number)) for number in range(5)])
    await setup.read("cus_1", force_fresh=True)
    await setup.built("cus_1")
    assert setup.wallets.last("cus_1", VAULTS) is None, "what is larger than the bound is not kept"


async def test_a_reading_from_before_the_choice_proves_nothing_against_it() -> None:
    setup = Setup()
    choice = choice_of("cus_a", P.LOANPRO, "37", "gone", at=NOW)

    async def changes(choice: ChoiceRecord, *seconds: float) -> list[ChoiceChange | None]:
        entry, found = replace(setup.entry(), choice=choice), []
        for one in seconds:
            readings = await setup.read()
            readings[P.LOANPRO] = structs.replace(readings[P.LOANPRO], asked_at=NOW + timedelta(seconds=one))
            found.append(setup.wallets.get_or_build(entry, VAULTS, readings, NOW).wallet.default.choice_change)
        return found

    assert await changes(choice, -1, 1) == [None, ChoiceChange.MISSING]
    marked = replace(choice, missing_since=NOW + timedelta(seconds=1))
    assert await changes(marked, -1, 1, 2, 300, 301) == [None, None, None, None, ChoiceChange.GONE]


async def test_a_method_that_is_listed_again_resets_what_was_missing() -> None:
    setup = Setup()
    since = NOW + timedelta(seconds=1)
    choice = replace(choice_of("cus_a", P.LOANPRO, "37", "9", at=NOW), missing_since=since)
    entry, readings = replace(setup.entry(), choice=choice), await setup.read()
    for seconds, change in ((0.5, None), (1, None), (2, ChoiceChange.BACK)):
        one = structs.replace(readings[P.LOANPRO], asked_at=NOW + timedelta(seconds=seconds))
        default = setup.wallets.get_or_build(entry, VAULTS, {**readings, P.LOANPRO: one}, NOW).wallet.default
        assert (default.state, default.choice_change) == (DefaultState.RESOLVED, change)
