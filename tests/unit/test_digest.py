"""Digests of a write's input: equal for equal input, without any part of a number or token."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.vault.enums import AddressType, AddRoute, CardBrand, ProviderName
from app.vault.model import Address, AddressLabels, Authenticate, Expiry, NewBankAccount, NewCard
from app.vault.secret import Secret
from app.wallet.digest import DigestKeys, Number, Token, holder_digest, input_digest, matching_key
from app.wallet.keys import key_name
from app.wallet.writes.adding import method_digest

KEY = "k" * 40
OTHER_KEY = "o" * 40
PAN = "4111111111111111"
TOKEN = "tok_2b6f1c"

plain_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=6,
)
inputs = st.dictionaries(st.sampled_from(["x", "y", "z"]), plain_json, max_size=3)


def kinds(value: Any) -> Any:
    """The value with its types distinguished, since True == 1 and [] == ()."""
    if isinstance(value, dict):
        return {name: kinds(part) for name, part in value.items()}
    return [kinds(part) for part in value] if isinstance(value, list) else (type(value).__name__, value)


@given(inputs, inputs)
def test_digests_are_equal_exactly_when_inputs_are(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (input_digest(KEY, one) == input_digest(KEY, other)) == (kinds(one) == kinds(other))


def test_the_order_of_names_does_not_matter() -> None:
    assert input_digest(KEY, {"a": "1", "b": {"c": "2", "d": "3"}}) == input_digest(
        KEY, {"b": {"d": "3", "c": "2"}, "a": "1"}
    )


def test_a_token_takes_part_and_cannot_be_imitated_by_text() -> None:
    digest = input_digest(KEY, {"token": Token(Secret(TOKEN))})
    assert digest == input_digest(KEY, {"token": Token(Secret(TOKEN))})
    assert digest != input_digest(KEY, {"token": Token(Secret(TOKEN + "x"))})
    assert digest != input_digest(KEY, {"token": TOKEN})
    with pytest.raises(TypeError, match="dollar"):
        input_digest(KEY, {"token": {"$token": "00"}})


def test_a_number_takes_no_part_in_any_form() -> None:
    digest = input_digest(KEY, {"number": Number(Secret(PAN)), "expiry": Expiry(2030, 1)})
    assert digest == input_digest(KEY, {"number": Number(Secret("5555555555554444")), "expiry": Expiry(2030, 1)})
    assert digest != input_digest(KEY, {"number": Number(Secret(PAN)), "expiry": Expiry(2030, 2)})
    assert digest != input_digest(KEY, {"expiry": Expiry(2030, 1)})
    assert digest != sha256(PAN.encode()).hexdigest()


def test_an_unmarked_secret_is_refused_without_being_shown() -> None:
    with pytest.raises(TypeError) as caught:
        input_digest(KEY, {"method": {"number": Secret(PAN)}})
    assert PAN not in str(caught.value)
    with pytest.raises(TypeError):
        input_digest(KEY, {"amount": 1.5})


def test_values_of_every_kind_have_one_meaning() -> None:
    @dataclass(frozen=True)
    class Input:
        brand: CardBrand
        address: Address
        amount: Decimal
        at: datetime
        on: date

    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    one = Input(CardBrand.VISA, Address(city="Oslo"), Decimal("1.50"), noon, date(2026, 1, 1))
    same = Input(
        CardBrand.VISA,
        Address(city="Oslo"),
        Decimal("1.5"),
        noon.astimezone(timezone(timedelta(hours=2))),
        date(2026, 1, 1),
    )
    assert input_digest(KEY, {"input": one}) == input_digest(KEY, {"input": same})
    assert input_digest(KEY, {"input": date(2026, 1, 1)}) != input_digest(KEY, {"input": "2026-01-01"})
    assert input_digest(KEY, {"input": 10**30}) != input_digest(KEY, {"input": 10**30 + 1})


def test_another_key_gives_another_digest_and_rotation_knows_both() -> None:
    values = {"token": Token(Secret(TOKEN)), "name": "Ann"}
    old = input_digest(OTHER_KEY, values)
    assert old != input_digest(KEY, values)
    both = DigestKeys([KEY, OTHER_KEY], lambda secret: secret)
    assert matching_key(both, old, values) == key_name(OTHER_KEY)
    assert matching_key(both, input_digest(KEY, values), values) == key_name(KEY) == both.first_name
    assert matching_key(DigestKeys([KEY], lambda secret: secret), old, values) is None
    assert matching_key(both, old, {**values, "name": "Bob"}) is None


def test_a_holder_is_recognised_whatever_case_and_spacing() -> None:
    assert holder_digest(KEY, " ann  BEE ") == holder_digest(KEY, "Ann Bee")
    assert holder_digest(KEY, "Ann Bee") != holder_digest(KEY, "Ann Lee")
    assert holder_digest(KEY, "Ann Bee") != holder_digest(OTHER_KEY, "Ann Bee")
    assert len(holder_digest(KEY, "Ann Bee")) == 32


def test_fields_added_later_leave_the_digests_of_stored_keys_as_they_were() -> None:
    """The digests were computed before `NewCard` and `NewBankAccount` got those fields."""
    card = NewCard(
        provider=ProviderName("jpmorgan"),
        route=AddRoute.RAW_CARD,
        secret=Secret("4012888888881881"),
        brand=CardBrand.VISA,
        expiry=Expiry(2031, 7),
        first_name="Ada",
        billing_address=Address(line1="1 High St", city="Leeds", country="GB"),
        authenticate=Authenticate(return_url="https://shop.example/back"),
    )
    account = NewBankAccount(
        provider=ProviderName("jpmorgan"),
        route=AddRoute.BANK_ACCOUNT,
        secret=Secret("0888271156"),
        routing_number="122000247",
    )
    key = b"k" * 32
    stored = input_digest(key, method_digest(card))
    assert stored == "df257a08e754062e0b3faef84e18da87b1e2c29a028d688356f549bffedbd5ef"
    assert (
        input_digest(key, method_digest(account)) == "21f03ceab019cf41d2b61fb5013b8a2af5f2b85221b039d15732b1a6c549100d"
    )
    for change in ({"active": True}, {"address_labels": AddressLabels(type=AddressType.SHIPPING)}):
        assert input_digest(key, method_digest(replace(card, **change))) != stored
