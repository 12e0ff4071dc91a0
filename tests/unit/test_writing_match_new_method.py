"""Finding the method that an add created, from the vault's list and the journal."""

from typing import Any

import pytest

from app.vault.enums import AddRoute, BankRail, CardBrand, CustomerRef, MethodRef, ProviderName, WalletKind
from app.vault.model import BankAccount, Card, Expiry, NewBankAccount, NewMethod, PaymentMethod
from app.vault.secret import Secret
from app.wallet.writes.match_new_method import candidates, describe_new_method
from tests.contract.case_jpmorgan import new_card

KEY = "d" * 32

P = ProviderName


def card(ref: str, **changes: Any) -> Card:
    given: dict[str, Any] = {
        "brand": CardBrand.VISA,
        "last4": "1881",
        "expiry": Expiry(2031, 7),
        "holder_name": "Ada Example",
    }
    return Card(provider=P.JPMORGAN, customer_ref=CustomerRef("C"), method_ref=MethodRef(ref), **given | changes)


def account(ref: str, **changes: Any) -> BankAccount:
    return BankAccount(
        provider=P.JPMORGAN, customer_ref=CustomerRef("C"), method_ref=MethodRef(ref), rail=BankRail.ACH, **changes
    )


def found(new: NewMethod, *methods: PaymentMethod, before: tuple[str, ...] = (), claimed: tuple[str, ...] = ()) -> Any:
    return candidates(before, methods, describe_new_method(new, KEY), claimed, [KEY])


def test_only_new_and_unclaimed_methods_are_candidates() -> None:
    assert found(new_card(), card("1"), card("2"), card("3"), before=("1",), claimed=("3",)) == ["2"]


@pytest.mark.parametrize(
    "other",
    [{"last4": "4242"}, {"brand": CardBrand.AMEX}, {"expiry": Expiry(2031, 8)}],
    ids=["last4", "brand", "expiry"],
)
def test_method_with_another_look_is_no_candidate(other: dict[str, Any]) -> None:
    assert found(new_card(), card("1", **other)) == []
    assert found(new_card(), card("1", **other), card("2")) == ["2"]


@pytest.mark.parametrize(
    "unsaid",
    [{"last4": None}, {"brand": CardBrand.UNKNOWN}, {"brand": CardBrand.OTHER}, {"expiry": None}],
    ids=["last4", "unknown", "other", "expiry"],
)
def test_value_missing_at_the_vault_is_no_difference(unsaid: dict[str, Any]) -> None:
    assert found(new_card(), card("1", **unsaid)) == ["1"]


def test_value_missing_in_the_input_is_no_difference() -> None:
    by_token = new_card(
        provider=P.LOANPRO, route=AddRoute.PROVIDER_TOKEN, brand=None, expiry=None, secret=Secret("tok_1881")
    )
    assert found(by_token, card("1", last4="4242")) == ["1"]


def test_network_token_may_differ_in_digits_and_expiry() -> None:
    token = new_card(route=AddRoute.NETWORK_TOKEN, secret=Secret("5555555555554444"))
    assert found(token, card("1", last4="9999", expiry=Expiry(2029, 1))) == ["1"]
    assert found(token, card("1", brand=CardBrand.AMEX)) == []


def test_a_wallets_card_is_one_of_that_wallet() -> None:
    """Nothing else of it is known: a card that somebody else added meanwhile is not taken for it."""
    new = new_card(route=AddRoute.WALLET_PAYLOAD, wallet=WalletKind.PAZE, brand=None, expiry=None, first_name=None)
    assert found(new, card("1"), card("2", wallet=WalletKind.APPLE_PAY)) == []
    assert found(new, card("1"), card("2", wallet=WalletKind.PAZE)) == ["2"]


def test_card_is_no_bank_account() -> None:
    ach = NewBankAccount(provider=P.JPMORGAN, route=AddRoute.BANK_ACCOUNT, secret=Secret("0888271156"))
    assert found(ach, card("1", last4="1156"), account("2", last4="1156"), account("3", last4="0000")) == ["2"]
    assert found(new_card(), account("2", last4="1881")) == []


def test_cardholder_narrows_but_never_excludes_all() -> None:
    assert found(new_card(), card("1", holder_name="Bob"), card("2", holder_name=" ada  EXAMPLE")) == ["2"]
    assert found(new_card(), card("1", holder_name="Bob")) == ["1"]
    assert found(new_card(), card("1", holder_name="Bob"), card("2", holder_name="Eve")) == ["1", "2"]


def test_stored_look_has_no_number_and_no_name() -> None:
    kept = repr(describe_new_method(new_card(), KEY))
    assert "4012888888881881" not in kept
    assert "Ada" not in kept
    assert "last4='1881'" in kept
    token = describe_new_method(new_card(route=AddRoute.PROVIDER_TOKEN, secret=Secret("prx_1234")), KEY)
    assert token.last4 is None
    iban = NewBankAccount(
        provider=P.JPMORGAN, route=AddRoute.BANK_ACCOUNT, rail=BankRail.SEPA, secret=Secret("GB33BUKB2020155555AB5C")
    )
    assert describe_new_method(iban, KEY).last4 is None


def test_aloha_card_is_found_by_its_masked_number() -> None:
    new = new_card(
        provider=P.ALOHA,
        route=AddRoute.PROVIDER_TOKEN,
        secret=Secret("201:token"),
        masked_card_number="401288******1881",
    )
    assert found(new, card("1"), card("2", last4="0005")) == ["1"]
