import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import timedelta

import pytest

from app.errors import (
    CircuitOpen,
    RejectReason,
    VaultError,
    VaultRefusedUs,
    VaultRejected,
    VaultReplyUnreadable,
    VaultThrottled,
    VaultTimeout,
    VaultUnavailable,
)
from app.store.records import MethodAddress
from app.vault.enums import (
    BankVerification,
    CustomerRef,
    DefaultReason,
    DefaultState,
    MethodRef,
    PaymentMethodStatus,
    ProviderName,
    SourceState,
)
from app.vault.model import BankAccount, Expiry, VaultWallet
from app.vault.provider import Call
from app.vault.rules.label import label_of
from app.wallet.defaults.stored_choice import ChoiceChange
from app.wallet.reads.build_wallet import Wallet, build_wallet, group_key
from app.wallet.reads.policy import ReadPolicy
from app.wallet.reads.reader import METHOD_BYTES, SourceReading, WalletReader, to_cached_wallet
from tests.support.memory import NOW, MemoryVault, P, World, card, choice_of

EVERYWHERE = {
    P.LOANPRO: CustomerRef("37"),
    P.ALOHA: CustomerRef("al"),
    P.JPMORGAN: CustomerRef("PACJGQ"),
    P.CASELLE: CustomerRef("cs"),
}


def call(within: float = 5.0) -> Call:
    return Call(deadline_at=asyncio.get_running_loop().time() + within, request_id="req-1")


async def read(world: World, *names: ProviderName, within: float = 5.0) -> dict[ProviderName, SourceReading]:
    return await world.services.reader.read(EVERYWHERE, names or tuple(P), call(within))


async def test_wanted_vaults_are_read_in_parallel() -> None:
    world = World()
    found = await read(world, P.LOANPRO, P.CASELLE)
    assert set(found) == {P.LOANPRO, P.CASELLE}
    assert world.calls() == {"LOANPRO": 1, "CASELLE": 1}
    together = asyncio.Barrier(4)

    class Meeting(MemoryVault):
        async def wallets(self, refs: Sequence[CustomerRef], call: Call) -> Mapping[CustomerRef, VaultWallet]:
            await together.wait()
            return {ref: VaultWallet(provider=self.name, customer_ref=ref, methods=()) for ref in refs}

    reader = world.services.reader
    meeting = WalletReader({name: Meeting(name) for name in P}, reader.snapshots, world.ids)  # type: ignore[misc]
    reader.snapshots.clear()
    found = await meeting.read(EVERYWHERE, tuple(P), call())
    assert [reading.state for reading in found.values()] == [SourceState.OK] * 4


async def test_unlinked_or_disabled_vaults_are_not_called() -> None:
    world = World(enabled=[P.LOANPRO, P.ALOHA])
    found = await world.services.reader.read({P.LOANPRO: CustomerRef("37")}, tuple(P), call())
    assert set(found) == {P.LOANPRO}


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (VaultTimeout(P.LOANPRO), SourceState.TIMEOUT, "The vault did not answer in time."),
        (
            VaultThrottled(P.LOANPRO, retry_after_s=1.5),
            SourceState.THROTTLED,
            "The rate limit of the vault is reached.",
        ),
        (CircuitOpen(P.LOANPRO), SourceState.CIRCUIT_OPEN, "The circuit breaker is open"),
        (VaultRefusedUs(P.LOANPRO), SourceState.UNAUTHORIZED, "The vault does not accept the gateway's credentials."),
        (VaultReplyUnreadable(P.LOANPRO), SourceState.UNAVAILABLE, "The vault could not be read."),
        (VaultUnavailable(P.LOANPRO, "a secret host name"), SourceState.UNAVAILABLE, "The vault could not be read."),
        (VaultRejected(P.LOANPRO, RejectReason.CONTRACT), SourceState.UNAVAILABLE, "The vault could not be read."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, VaultError) else None,
)
async def test_each_failure_has_a_state_and_a_fixed_message(
    error: VaultError, state: SourceState, message: str
) -> None:
    world = World()
    error.provider_request_id = "lp-77"
    world.vaults[P.LOANPRO].failure = error
    (found,) = (await read(world, P.LOANPRO)).values()
    assert (found.state, found.cached, found.fetched_at, found.is_stale) == (state, None, None, False)
    assert found.message is not None
    assert found.message.startswith(message)
    assert (found.provider_request_id, found.retry_after_s) == ("lp-77", error.retry_after_s)


async def test_bug_in_an_adapter_is_raised() -> None:
    world = World()
    world.vaults[P.LOANPRO].failure = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await read(world, P.LOANPRO)


async def test_unknown_customer_differs_from_empty_wallet() -> None:
    world = World()
    world.vaults[P.LOANPRO].put("empty")
    empty, unknown = await world.services.reader.read_many(
        P.LOANPRO, [CustomerRef("empty"), CustomerRef("nobody")], call()
    )
    assert (empty.state, empty.wallet and empty.wallet.methods) == (SourceState.OK, ())
    assert (unknown.state, unknown.wallet) == (SourceState.CUSTOMER_NOT_FOUND, None)
    assert unknown.asked_at is not None
    assert unknown.fetched_at is not None
    assert unknown.asked_at <= unknown.fetched_at
    assert unknown.message == "The vault does not know this customer."


@pytest.mark.parametrize(("skipped", "truncated"), [(1, False), (0, True)])
async def test_skipped_or_truncated_list_is_partial(skipped: int, truncated: bool) -> None:
    world = World()
    world.vaults[P.LOANPRO].put("37", card("9"), skipped=skipped, truncated=truncated)
    (found,) = (await read(world, P.LOANPRO)).values()
    assert found.state is SourceState.PARTIAL
    assert found.cached is not None
    assert (len(found.cached.methods), found.cached.skipped) == (1, skipped)


async def test_vault_that_ignores_its_deadline_times_out() -> None:
    world = World(policy=ReadPolicy(deadline_s=0.5))
    world.vaults[P.ALOHA].hang = True
    found = await read(world)
    assert {name: reading.state for name, reading in found.items()} == {
        **dict.fromkeys(P, SourceState.OK),
        P.ALOHA: SourceState.TIMEOUT,
    }
    assert (found[P.ALOHA].latency_ms or 0) >= 400
    await asyncio.sleep(0)
    assert world.vaults[P.ALOHA].cancelled == 1


async def test_shorter_deadline_of_a_caller_applies_to_it_alone() -> None:
    world = World()
    world.vaults[P.ALOHA].hang = True
    patient = asyncio.ensure_future(read(world, P.ALOHA))
    while not world.vaults[P.ALOHA].calls:
        await asyncio.sleep(0)
    hurried = await read(world, P.ALOHA, within=0.01)
    assert hurried[P.ALOHA].state is SourceState.TIMEOUT
    assert not patient.done()
    assert (len(world.vaults[P.ALOHA].calls), world.vaults[P.ALOHA].cancelled) == (1, 0)
    patient.cancel()


async def test_shared_read_gets_the_vaults_deadline() -> None:
    world = World(policy=ReadPolicy(deadline_s=3.0))
    given: list[float] = []

    class Listening(MemoryVault):
        async def wallets(self, refs: Sequence[CustomerRef], call: Call) -> Mapping[CustomerRef, VaultWallet]:
            given.append(call.deadline_at - asyncio.get_running_loop().time())
            return {}

    reader = WalletReader({P.ALOHA: Listening(P.ALOHA)}, world.services.reader.snapshots, world.ids)  # type: ignore[dict-item]
    await reader.read_many(P.ALOHA, [CustomerRef("al")], call(within=0.5))
    assert 0.5 < given[0] <= 3.0


async def test_customers_are_batched() -> None:
    world = World()
    refs = [CustomerRef(str(number)) for number in range(120)]
    await world.services.reader.read_many(P.LOANPRO, refs, call())
    await world.services.reader.read_many(P.CASELLE, refs[:3], call())
    assert [len(asked) for asked in world.vaults[P.LOANPRO].calls] == [50, 50, 20]
    assert [len(asked) for asked in world.vaults[P.CASELLE].calls] == [1, 1, 1]


async def test_slow_customer_does_not_delay_the_others() -> None:
    class OneHangs(MemoryVault):
        async def wallets(self, refs: Sequence[CustomerRef], call: Call) -> Mapping[CustomerRef, VaultWallet]:
            if "slow" in refs:
                await asyncio.sleep(3600)
            return {ref: VaultWallet(provider=self.name, customer_ref=ref, methods=()) for ref in refs}

    world = World()
    reader = WalletReader({P.ALOHA: OneHangs(P.ALOHA)}, world.services.reader.snapshots, world.ids)  # type: ignore[dict-item]
    found = await reader.read_many(P.ALOHA, [CustomerRef("a"), CustomerRef("slow")], call(within=0.5))
    assert [reading.state for reading in found] == [SourceState.OK, SourceState.TIMEOUT]


async def test_entries_are_computed_once_per_vault_read() -> None:
    world = World()
    first = (await read(world, P.LOANPRO))[P.LOANPRO]
    again = (await read(world, P.LOANPRO))[P.LOANPRO]
    assert again.cached is first.cached
    assert (first.latency_ms is None, again.latency_ms) == (False, None)
    assert first.cached is not None
    assert [(one.label, one.method.method_ref) for one in first.cached.methods] == [
        ("Visa ending 4242", "9"),
        ("Visa ending 1111", "10"),
    ]
    assert label_of(first.cached.methods[0].method) == first.cached.methods[0].label
    assert world.services.reader.snapshots.bytes == 1_000 + 2 * METHOD_BYTES


def test_method_with_too_long_ref_is_skipped_and_counted() -> None:
    world = World()
    wallet = VaultWallet(
        provider=P.LOANPRO, customer_ref=CustomerRef("37"), methods=(card("x" * 300), card("9")), skipped=2
    )
    cached = to_cached_wallet(world.ids, wallet)
    assert ([one.method.method_ref for one in cached.methods], cached.skipped, cached.is_whole) == (["9"], 3, False)


def test_reused_wallet_equals_a_new_one() -> None:
    world, ref = World(), CustomerRef("37")
    wallet = VaultWallet(provider=P.LOANPRO, customer_ref=ref, methods=(card("8"), card("9")))
    cached = to_cached_wallet(world.ids, wallet)
    same = replace(wallet, provider_request_id="another")
    assert to_cached_wallet(world.ids, same, cached) is cached
    assert to_cached_wallet(world.ids, replace(wallet, skipped=1), cached).skipped == 1
    assert to_cached_wallet(world.ids, replace(wallet, truncated=True), cached).truncated
    changed = replace(wallet, methods=(card("9", last4="1111"), card("10")))
    assert asdict(to_cached_wallet(world.ids, changed, cached)) == asdict(to_cached_wallet(world.ids, changed))


# ---- wallets -----------------------------------------------------------------------------------------------


async def wallet_of(world: World, *names: ProviderName) -> Wallet:
    entry = world.directory.known["cus_a"]
    links = {link.provider: link.customer_ref for link in entry.links}
    readings = await world.services.reader.read(links, names or tuple(P), call())
    return build_wallet(entry, readings, world.services.rules, NOW)


async def test_sources_have_a_row_for_every_vault() -> None:
    world = World(enabled=[P.LOANPRO, P.ALOHA, P.JPMORGAN])
    world.directory.add("cus_a", {P.LOANPRO: "37", P.JPMORGAN: "PACJGQ", P.CASELLE: "cs"})
    rows = (await wallet_of(world, P.LOANPRO)).sources
    assert {name: row.state for name, row in rows.items()} == {
        P.LOANPRO: SourceState.OK,
        P.ALOHA: SourceState.NOT_LINKED,
        P.JPMORGAN: SourceState.SKIPPED,
        P.CASELLE: SourceState.DISABLED,
    }
    assert [row.method_count for row in rows.values()] == [2, None, None, None]


async def test_inactive_methods_are_included_but_not_counted() -> None:
    world = World()
    world.vaults[P.LOANPRO].put("37", card("9"), card("10", status=PaymentMethodStatus.INACTIVE))
    wallet = await wallet_of(world)
    assert wallet.sources[P.LOANPRO].method_count == 1
    assert len([one for one in wallet.methods if one.method.provider is P.LOANPRO]) == 2


async def test_expired_card_has_status_expired_whatever_its_vault_reports() -> None:
    world = World()
    world.vaults[P.ALOHA].put("al", card("tok", expiry=Expiry(2028, 2)))
    (one,) = [one for one in (await wallet_of(world)).methods if one.method.provider is P.ALOHA]
    assert (one.status, one.usable) == (PaymentMethodStatus.EXPIRED, False)


async def test_look_alikes_are_grouped_across_vaults_without_deleted_ones() -> None:
    world = World()
    world.vaults[P.CASELLE].put("cs", card("uid"), card("gone", status=PaymentMethodStatus.INACTIVE))
    wallet = await wallet_of(world)
    ours, theirs = world.id(P.LOANPRO, "37", "9"), world.id(P.CASELLE, "cs", "uid")
    assert {one.id: one.lookalikes for one in wallet.methods if one.lookalikes} == {ours: (theirs,), theirs: (ours,)}
    methods = {one.id: one.method for one in wallet.methods}
    keys = {group_key("cus_a", methods[one], world.services.rules) for one in (ours, theirs)}
    assert len(keys) == 1
    assert None not in keys


async def test_nickname_belongs_to_one_method() -> None:
    world = World()
    world.directory.known["cus_a"] = replace(
        world.directory.known["cus_a"],
        nicknames={MethodAddress(P.CASELLE, CustomerRef("cs"), MethodRef("uid")): "Travel"},
    )
    assert {one.nickname for one in (await wallet_of(world)).methods} == {None, "Travel"}


async def test_default_is_chosen_across_vaults() -> None:
    wallet = await wallet_of(World())
    assert wallet.default.reason is DefaultReason.ONLY_PROVIDER_DEFAULT
    assert wallet.default_method is not None
    assert wallet.default_method.method.method_ref == "pm1"
    assert [one.is_default for one in wallet.methods] == [False, False, False, True, False]


async def test_default_is_unknown_if_a_vault_is_not_read() -> None:
    world = World()
    wallet = await wallet_of(world, P.LOANPRO, P.ALOHA, P.JPMORGAN)
    assert (wallet.default.state, wallet.default_method) == (DefaultState.UNKNOWN, None)
    assert {one.is_default for one in wallet.methods} == {None}


async def test_disabled_vault_counts_as_unanswered_only_if_linked() -> None:
    world = World(enabled=[P.LOANPRO])
    assert (await wallet_of(world)).default.state is DefaultState.UNKNOWN
    world.directory.add("cus_a", {P.LOANPRO: "37"})
    world.vaults[P.LOANPRO].put("37", card("9"))
    world.services.reader.snapshots.clear()
    assert (await wallet_of(world)).default.reason is DefaultReason.ONLY_USABLE_METHOD


async def test_bank_account_with_failed_check_is_not_usable() -> None:
    world = World()
    world.directory.add("cus_a", {P.LOANPRO: "37"})
    bank = BankAccount(
        provider=P.LOANPRO,
        customer_ref=CustomerRef("-"),
        method_ref=MethodRef("b"),
        verification=BankVerification.FAILED,
    )
    world.vaults[P.LOANPRO].put("37", bank, card("9"))
    wallet = await wallet_of(world)
    assert wallet.default_method is not None
    assert wallet.default_method.method.method_ref == "9"


async def test_missing_choice_is_not_replaced_by_another_rule() -> None:
    world = World()
    world.directory.known["cus_a"] = replace(
        world.directory.known["cus_a"], choice=choice_of("cus_a", P.CASELLE, "cs", "deleted")
    )
    default = (await wallet_of(world)).default
    assert (default.state, default.choice_change, default.reason) == (DefaultState.NONE, ChoiceChange.MISSING, None)
    assert default.choice is not None


async def test_list_requested_before_the_choice_is_ignored() -> None:
    world = World()
    later = choice_of("cus_a", P.CASELLE, "cs", "just-added", at=NOW + timedelta(seconds=1))
    world.directory.known["cus_a"] = replace(world.directory.known["cus_a"], choice=later)
    default = (await wallet_of(world)).default
    assert (default.state, default.choice_change, default.choice) == (DefaultState.UNKNOWN, None, later)


async def test_nothing_answered_considers_only_linked_vaults() -> None:
    world = World()
    for vault in world.vaults.values():
        vault.failure = VaultUnavailable(vault.name)
    wallet = await wallet_of(world)
    assert wallet.nothing_answered(P)
    assert not wallet.nothing_answered([])
    world.vaults[P.ALOHA].failure = None
    wallet = await wallet_of(world)
    assert (wallet.nothing_answered(P), wallet.nothing_answered([P.LOANPRO])) == (False, True)
    world.directory.add("cus_a", {})
    assert not (await wallet_of(world)).nothing_answered(P)
