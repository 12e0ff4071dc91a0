"""The default after an add, and the default for paying: pure rules over a wallet."""

from dataclasses import replace
from typing import Any

import pytest

from app.store.records import ChoiceRecord, MethodAddress
from app.vault.enums import CustomerRef, DefaultReason, DefaultState, MethodRef, ProviderCapability, ProviderName
from app.vault.model import PaymentMethod, VaultWallet
from app.wallet.defaults.kept_default import default_taken_away
from app.wallet.ids import Ids
from app.wallet.reads.build_wallet import Wallet, WalletRules, build_wallet, default_for_payment
from app.wallet.reads.reader import SourceReading, SourceState, to_cached_wallet
from tests.support.memory import LONG_AGO, NOW, MemoryDirectory, P, card, choice_of

IDS = Ids("k" * 32)
REFS = {P.LOANPRO: "37", P.CASELLE: "cs"}
LIST, PAY = ProviderCapability.LIST, ProviderCapability.PAY
RULES = WalletRules(
    operations={name: frozenset({LIST, PAY} if name is P.CASELLE else {LIST}) for name in ProviderName},
    precedence=tuple(ProviderName),
    group_secret=b"g" * 32,
)


def wallet_of(
    choice: ChoiceRecord | None = None, *, loanpro: Any = (), caselle: Any = (), loanpros: SourceState = SourceState.OK
) -> Wallet:
    directory = MemoryDirectory()
    directory.add("cus_a", REFS, choice=choice)
    readings = {}
    for name, methods in ((P.LOANPRO, loanpro), (P.CASELLE, caselle)):
        ref = CustomerRef(REFS[name])
        owned: tuple[PaymentMethod, ...] = tuple(replace(one, provider=name, customer_ref=ref) for one in methods)
        cached = to_cached_wallet(IDS, VaultWallet(provider=name, customer_ref=ref, methods=owned))
        state = loanpros if name is P.LOANPRO else SourceState.OK
        readings[name] = SourceReading(provider=name, state=state, cached=cached, asked_at=NOW, fetched_at=NOW)
    return build_wallet(directory.known["cus_a"], readings, RULES, NOW)


def at(provider: ProviderName, method: str) -> MethodAddress:
    return MethodAddress(provider, CustomerRef(REFS[provider]), MethodRef(method))


def taken(wallet: Wallet, *new: MethodAddress, vault_default: MethodAddress | None = None) -> MethodAddress | None:
    return default_taken_away(wallet, new.__contains__, RULES, vault_default)


OLD, NEW = card("old"), card("new")
MARKED = replace(NEW, is_provider_default=True)


def test_a_second_usable_method_takes_the_only_ones_place_away() -> None:
    assert taken(wallet_of(caselle=[OLD, NEW]), at(P.CASELLE, "new")) == at(P.CASELLE, "old")
    assert taken(wallet_of(loanpro=[OLD], caselle=[MARKED]), at(P.CASELLE, "new")) == at(P.LOANPRO, "old")


def test_nothing_is_taken_away_where_the_rules_still_say_the_same() -> None:
    old = replace(OLD, is_provider_default=True)
    assert taken(wallet_of(caselle=[old, NEW]), at(P.CASELLE, "new")) is None
    assert taken(wallet_of(loanpro=[old], caselle=[MARKED]), at(P.CASELLE, "new")) is None, "by precedence"
    assert taken(wallet_of(caselle=[OLD, replace(NEW, has_unreadable_expiry=True)]), at(P.CASELLE, "new")) is None


def test_a_mark_that_the_vault_gave_to_the_new_method_does_not_count_against_the_old_one() -> None:
    wallet = wallet_of(caselle=[OLD, card("other"), MARKED])
    assert taken(wallet, at(P.CASELLE, "new")) is None, "no rule had found one, as far as this list tells"
    before = at(P.CASELLE, "old")
    assert taken(wallet, at(P.CASELLE, "new"), vault_default=before) == before


@pytest.mark.parametrize("state", [SourceState.STALE, SourceState.PARTIAL])
def test_a_default_that_was_unknown_or_none_is_not_kept(state: SourceState) -> None:
    assert taken(wallet_of(caselle=[OLD, NEW], loanpros=state), at(P.CASELLE, "new")) is None
    assert taken(wallet_of(caselle=[OLD, NEW, card("third")]), at(P.CASELLE, "new")) is None


def test_a_choice_needs_no_keeping_and_a_kept_one_only_when_it_is_of_no_use() -> None:
    choice = choice_of("cus_a", P.CASELLE, "cs", "old")
    assert taken(wallet_of(choice, caselle=[OLD, NEW]), at(P.CASELLE, "new")) is None
    kept = replace(choice, is_kept=True)
    assert taken(wallet_of(kept, caselle=[OLD, NEW]), at(P.CASELLE, "new")) is None
    useless = replace(OLD, has_unreadable_expiry=True)
    found = taken(wallet_of(kept, loanpro=[card("good")], caselle=[useless, NEW]), at(P.CASELLE, "new"))
    assert found == at(P.LOANPRO, "good")


def test_the_default_for_paying_is_found_among_the_methods_that_can_pay() -> None:
    wallet = wallet_of(loanpro=[replace(OLD, is_provider_default=True)], caselle=[NEW])
    assert wallet.default.reason is DefaultReason.ONLY_PROVIDER_DEFAULT
    paying = default_for_payment(wallet, RULES)
    found = wallet.method(paying.method_id)
    assert (paying.reason, found and found.address) == (DefaultReason.ONLY_USABLE_METHOD, at(P.CASELLE, "new"))


@pytest.mark.parametrize("is_kept", [False, True])
def test_what_is_stored_and_cannot_pay(is_kept: bool) -> None:
    """A choice gives none; a default that was merely kept leaves it to the rules."""
    stored = replace(choice_of("cus_a", P.LOANPRO, "37", "old", at=LONG_AGO), is_kept=is_kept)
    paying = default_for_payment(wallet_of(stored, loanpro=[OLD], caselle=[NEW]), RULES)
    assert paying.state is (DefaultState.RESOLVED if is_kept else DefaultState.NONE)


def test_an_expired_choice_that_was_allowed_pays_nothing() -> None:
    expired = replace(NEW, has_unreadable_expiry=True, expiry=None)
    choice = choice_of("cus_a", P.CASELLE, "cs", "new", allow=True)
    wallet = wallet_of(choice, caselle=[OLD, expired])
    assert wallet.default.state is DefaultState.RESOLVED
    assert default_for_payment(wallet, RULES).state is DefaultState.NONE


def test_paying_needs_every_linked_vaults_answer_unless_the_customer_chose() -> None:
    unknown = default_for_payment(wallet_of(caselle=[NEW], loanpros=SourceState.PARTIAL), RULES)
    assert unknown.state is DefaultState.UNKNOWN
    choice = choice_of("cus_a", P.CASELLE, "cs", "new")
    chosen = default_for_payment(wallet_of(choice, caselle=[NEW], loanpros=SourceState.PARTIAL), RULES)
    assert chosen.state is DefaultState.RESOLVED
