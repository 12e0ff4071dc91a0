"""Single values of Caselle's records: an unreadable value affects only its own field."""

from dataclasses import replace
from typing import Any

import pytest

from app.providers.caselle.mapping import to_method
from app.vault.enums import CardBrand, PaymentMethodStatus
from app.vault.model import Card, Expiry
from tests.support.caselle_wire import CARD, REF, wire_card


@pytest.mark.parametrize(
    ("month", "year", "expiry", "is_unreadable"),
    [
        (12, 30, Expiry(2030, 12), False),
        ("01", "2028", Expiry(2028, 1), False),
        (6.0, "29", Expiry(2029, 6), False),
        (None, None, None, False),
        ("", None, None, False),
        (13, 2030, None, True),
        (0, 2030, None, True),
        (12, 0, None, True),
        (12, None, None, True),
        (None, 2030, None, True),
        ("soon", 2030, None, True),
        (True, 2030, None, True),
        (12, 203, None, True),
        ("none", "N/A", None, True),
    ],
)
def test_an_expiry_in_two_parts(month: Any, year: Any, expiry: Expiry | None, is_unreadable: bool) -> None:
    method = to_method(wire_card(credit={"exp_month": month, "exp_year": year}), REF)
    assert isinstance(method, Card)
    assert (method.expiry, method.has_unreadable_expiry) == (expiry, is_unreadable)


@pytest.mark.parametrize(
    ("field", "given", "shown"),
    [
        ("last4", 4242, "4242"),
        ("last4", 7, "0007"),
        ("last4", "42", None),
        ("last4", "", None),
        ("last4", ["4242"], None),
        ("last4", True, None),
        ("last4", "4111111111111111", "1111"),
        ("bin", "", None),
        ("bin", 411111, "411111"),
        ("bin", "4111112", "411111"),
        ("bin", "4111 1122", "41111122"),
        ("bin", "411111******1111", "411111"),
        ("bin", "4111111111111111", None),
        ("bin", 41111, None),
        ("holder_name", 7, None),
        ("holder_name", " ", None),
    ],
)
def test_one_value_costs_itself(field: str, given: Any, shown: str | None) -> None:
    method = to_method(wire_card(credit={field: given}), REF)
    assert getattr(method, field) == shown
    assert replace(method, **{field: getattr(CARD, field)}) == CARD


def test_a_card_without_details_is_a_card() -> None:
    for details in (None, [], "text", 7):
        method = to_method(wire_card(payment_method={"payment_method_type": "CREDIT", "credit": details}), REF)
        assert isinstance(method, Card)
        assert (method.last4, method.expiry, method.has_unreadable_expiry) == (None, None, False)


@pytest.mark.parametrize(
    ("word", "brand"),
    [
        ("VISA", CardBrand.VISA),
        ("visa", CardBrand.VISA),
        ("MasterCard", CardBrand.MASTERCARD),
        ("MASTER_CARD", CardBrand.MASTERCARD),
        ("MC", CardBrand.MASTERCARD),
        ("AMEX", CardBrand.AMEX),
        ("American Express", CardBrand.AMEX),
        ("DISCOVER", CardBrand.DISCOVER),
        ("JCB", CardBrand.JCB),
        ("Diners Club", CardBrand.DINERS),
        ("UnionPay", CardBrand.UNIONPAY),
        ("MAESTRO", CardBrand.OTHER),
        ("", CardBrand.UNKNOWN),
        (None, CardBrand.UNKNOWN),
    ],
)
def test_brands(word: Any, brand: CardBrand) -> None:
    method = to_method(wire_card(credit={"card_brand": word}), REF)
    assert isinstance(method, Card)
    assert method.brand is brand


@pytest.mark.parametrize(
    ("word", "status", "detail"),
    [
        (None, PaymentMethodStatus.ACTIVE, None),
        ("Active", PaymentMethodStatus.ACTIVE, None),
        ("inactive", PaymentMethodStatus.INACTIVE, None),
        ("expired", PaymentMethodStatus.EXPIRED, None),
        ("on_hold", PaymentMethodStatus.UNKNOWN, "on_hold"),
        ("disabled", PaymentMethodStatus.INACTIVE, None),
        ("4111 1111", PaymentMethodStatus.UNKNOWN, None),
        ("", PaymentMethodStatus.UNKNOWN, None),
        (1, PaymentMethodStatus.UNKNOWN, None),
        ([], PaymentMethodStatus.UNKNOWN, None),
    ],
)
def test_statuses(word: Any, status: PaymentMethodStatus, detail: str | None) -> None:
    method = to_method(wire_card(status=word), REF)
    assert (method.status, method.status_detail) == (status, detail)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"is_active": False}, PaymentMethodStatus.INACTIVE),
        ({"active": "N"}, PaymentMethodStatus.INACTIVE),
        ({"enabled": 0, "status": "active"}, PaymentMethodStatus.INACTIVE),
        ({"enabled": "perhaps"}, PaymentMethodStatus.UNKNOWN),
        ({"active": 1, "status": "suspended"}, PaymentMethodStatus.SUSPENDED),
        ({"active": True}, PaymentMethodStatus.ACTIVE),
    ],
)
def test_flags_that_say_not_to_use_it(fields: Any, status: PaymentMethodStatus) -> None:
    assert to_method(wire_card(**fields), REF).status is status
