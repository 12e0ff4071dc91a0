from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.vault.enums import (
    BankAccountType,
    BankRail,
    BankVerification,
    CardBrand,
    CustomerRef,
    ExpiryState,
    MethodRef,
    PaymentMethodKind,
    PaymentMethodStatus,
    ProviderCapability,
    ProviderName,
)
from app.vault.model import BankAccount, Card, Expiry, OtherMethod, PaymentMethod
from app.vault.rules.etag import etag_of
from app.vault.rules.expiry import ExpiryClock
from app.vault.rules.filter import MethodFilter, matches
from app.vault.rules.label import label_of
from app.vault.rules.lookalikes import group_keys, groups, look_of
from app.vault.rules.order import PaymentMethodOrder, by_provider, sort_key
from app.vault.rules.usable import capabilities_of, is_usable, is_usable_but_for_expiry

PLACE = {"provider": ProviderName.LOANPRO, "customer_ref": CustomerRef("37"), "method_ref": MethodRef("9")}
CARD = Card(**PLACE, brand=CardBrand.VISA, last4="4242", expiry=Expiry(2028, 3))
BANK = BankAccount(**PLACE, rail=BankRail.ACH, last4="6789", account_type=BankAccountType.CHECKING)
OTHER = OtherMethod(**PLACE, provider_kind="GIFT_CARD")


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (CARD, "Visa ending 4242"),
        (replace(CARD, last4=None), "Visa"),
        (replace(CARD, brand=CardBrand.UNKNOWN), "Card ending 4242"),
        (replace(CARD, brand=CardBrand.OTHER, last4=None), "Card"),
        (BANK, "Checking account ending 6789"),
        (replace(BANK, account_type=None), "Bank account ending 6789"),
        (replace(BANK, account_type=BankAccountType.UNKNOWN), "Bank account ending 6789"),
        (replace(OTHER, title="4242424242424242"), "Payment method"),
    ],
)
def test_labels(method: PaymentMethod, expected: str) -> None:
    assert label_of(method) == expected


@pytest.mark.parametrize("status", PaymentMethodStatus)
def test_only_active_methods_are_usable(status: PaymentMethodStatus) -> None:
    assert is_usable(replace(CARD, status=status), ExpiryState.VALID) == (status is PaymentMethodStatus.ACTIVE)


def test_an_unknown_expiry_is_usable_and_a_past_one_is_not() -> None:
    assert is_usable(CARD, ExpiryState.UNKNOWN)
    assert is_usable(CARD, ExpiryState.EXPIRING_SOON)
    assert not is_usable(CARD, ExpiryState.EXPIRED)


def test_allow_expired_accepts_an_unreadable_expiry() -> None:
    card = replace(CARD, expiry=None, has_unreadable_expiry=True)
    assert ExpiryClock.at(datetime(2026, 1, 1, tzinfo=UTC), 30).state_of(card) is ExpiryState.UNKNOWN
    assert not is_usable(card, ExpiryState.UNKNOWN)
    assert is_usable_but_for_expiry(card)


def test_an_unknown_kind_is_never_usable() -> None:
    other = replace(OTHER, status=PaymentMethodStatus.ACTIVE, is_provider_default=True)
    assert not is_usable(other, ExpiryState.UNKNOWN)
    assert not is_usable_but_for_expiry(other)
    offered = capabilities_of(PaymentMethodKind.OTHER, True, frozenset(ProviderCapability))
    assert not {ProviderCapability.PAY, ProviderCapability.SET_DEFAULT} & {*offered}
    assert ProviderCapability.DELETE in offered


@pytest.mark.parametrize("verification", BankVerification)
def test_a_failed_bank_verification_is_not_usable(verification: BankVerification) -> None:
    expected = verification is not BankVerification.FAILED
    method = replace(BANK, verification=verification)
    assert is_usable(method, ExpiryState.UNKNOWN) == expected
    assert is_usable_but_for_expiry(method) == expected


def test_allow_expired_accepts_the_expired_status_of_a_vault() -> None:
    assert is_usable_but_for_expiry(replace(CARD, status=PaymentMethodStatus.EXPIRED))
    assert not is_usable_but_for_expiry(replace(CARD, status=PaymentMethodStatus.INACTIVE))


def test_a_method_has_only_applicable_capabilities() -> None:
    everything = frozenset(ProviderCapability)
    assert capabilities_of(PaymentMethodKind.CARD, True, everything) == (
        ProviderCapability.UPDATE_EXPIRY,
        ProviderCapability.UPDATE_HOLDER,
        ProviderCapability.UPDATE_STATUS,
        ProviderCapability.UPDATE_SECONDARY,
        ProviderCapability.UPDATE_BILLING,
        ProviderCapability.SET_DEFAULT,
        ProviderCapability.DELETE,
        ProviderCapability.PAY,
        ProviderCapability.THREE_D_SECURE,
    )
    bank = capabilities_of(PaymentMethodKind.BANK_ACCOUNT, False, everything)
    assert not {ProviderCapability.PAY, ProviderCapability.UPDATE_EXPIRY, ProviderCapability.THREE_D_SECURE} & {*bank}
    assert capabilities_of(PaymentMethodKind.CARD, True, frozenset()) == ()


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (CARD, replace(CARD, provider=ProviderName.CASELLE, holder_name="A. Morales"), True),
        (CARD, replace(CARD, last4="4243"), False),
        (CARD, replace(CARD, brand=CardBrand.MASTERCARD), False),
        (CARD, replace(CARD, expiry=Expiry(2028, 4)), False),
        (BANK, replace(BANK, account_type=None, bank_name="First"), True),
        (BANK, replace(BANK, rail=BankRail.SEPA), False),
        (CARD, replace(BANK, last4="4242"), False),
    ],
)
def test_what_looks_alike(one: PaymentMethod, other: PaymentMethod, alike: bool) -> None:
    assert (look_of(one) == look_of(other)) is alike


@pytest.mark.parametrize(
    "method",
    [
        OTHER,
        replace(OTHER, last4="4242"),
        replace(CARD, last4=None),
        replace(CARD, expiry=None),
        replace(CARD, brand=CardBrand.UNKNOWN),
    ],
)
def test_methods_with_missing_data_have_no_look(method: PaymentMethod) -> None:
    assert look_of(method) is None


def test_groups_contain_the_other_members_and_omit_singles() -> None:
    assert groups([("a", "x"), ("b", None), ("c", "x"), ("d", "y"), ("e", None), ("f", "x")]) == {
        "a": ("c", "f"),
        "c": ("a", "f"),
        "f": ("a", "c"),
    }


def test_group_keys_are_stable_opaque_and_bound_to_customer_and_key() -> None:
    named = group_keys("cus_alex", b"k" * 32)
    key = named("card|VISA|4242|2028-03")
    assert key == "grp_5007cbfe3cf69f35a5591722e69920"  # clients may store it: stable across versions
    assert named("card|VISA|4242|2028-04") != key == named("card|VISA|4242|2028-03")
    assert key != group_keys("cus_sam", b"k" * 32)("card|VISA|4242|2028-03")
    assert key != group_keys("cus_alex", b"j" * 32)("card|VISA|4242|2028-03")


def test_orders_are_total_and_count_numeric_refs() -> None:
    refs = ["10", "9", "2"]
    methods: list[PaymentMethod] = [replace(CARD, method_ref=MethodRef(ref)) for ref in refs]
    methods.append(replace(CARD, provider=ProviderName.ALOHA, method_ref=MethodRef("1")))
    assert [m.method_ref for m in sorted(methods, key=by_provider)] == ["2", "9", "10", "1"]


def test_methods_without_the_sorted_value_come_last() -> None:
    methods = [
        replace(CARD, method_ref=MethodRef("old"), created_at=datetime(2020, 1, 1, tzinfo=UTC)),
        replace(CARD, method_ref=MethodRef("undated")),
        replace(CARD, method_ref=MethodRef("new"), created_at=datetime(2026, 1, 1, tzinfo=UTC)),
    ]

    def refs(order: PaymentMethodOrder) -> list[str]:
        return [m.method_ref for m in sorted(methods, key=lambda m: sort_key(m, order, is_first=False))]

    assert refs(PaymentMethodOrder.NEWEST_FIRST) == ["new", "old", "undated"]
    methods = [replace(CARD, method_ref=MethodRef("none"), expiry=None), replace(CARD, expiry=Expiry(2031, 1)),
               replace(CARD, method_ref=MethodRef("soon"), expiry=Expiry(2030, 12))]  # fmt: skip
    assert refs(PaymentMethodOrder.EXPIRING_FIRST) == ["soon", CARD.method_ref, "none"]


@pytest.mark.parametrize("status", PaymentMethodStatus)
def test_inactive_and_deleted_are_omitted_unless_requested(status: PaymentMethodStatus) -> None:
    hidden = status in (PaymentMethodStatus.INACTIVE, PaymentMethodStatus.DELETED)
    assert matches(MethodFilter(), CARD, status, ()) is not hidden
    assert matches(MethodFilter(statuses=frozenset({status})), CARD, status, ())
    assert not matches(MethodFilter(statuses=frozenset()), CARD, status, ())


def test_filters() -> None:
    active = PaymentMethodStatus.ACTIVE
    pay = (ProviderCapability.PAY,)
    assert matches(MethodFilter(providers=frozenset({ProviderName.LOANPRO})), CARD, active, ())
    assert not matches(MethodFilter(providers=frozenset({ProviderName.ALOHA})), CARD, active, ())
    assert matches(MethodFilter(kinds=frozenset({PaymentMethodKind.CARD})), CARD, active, ())
    assert not matches(MethodFilter(kinds=frozenset({PaymentMethodKind.BANK_ACCOUNT})), CARD, active, ())
    assert matches(MethodFilter(usable_for=ProviderCapability.PAY), CARD, active, pay)
    assert not matches(MethodFilter(usable_for=ProviderCapability.DELETE), CARD, active, pay)


@pytest.mark.parametrize(
    ("now", "method", "expected"),
    [
        (datetime(2028, 3, 25, tzinfo=UTC), CARD, True),
        (datetime(2028, 3, 1, tzinfo=UTC), CARD, False),
        (datetime(2028, 4, 2, tzinfo=UTC), CARD, False),
        (datetime(2028, 3, 25, tzinfo=UTC), BANK, False),
        (datetime(2028, 3, 25, tzinfo=UTC), replace(CARD, expiry=None), False),
    ],
)
def test_expires_within_excludes_cards_that_have_expired(now: datetime, method: PaymentMethod, expected: bool) -> None:
    wanted = MethodFilter(expires_within=ExpiryClock.at(now, 10))
    assert matches(wanted, method, PaymentMethodStatus.ACTIVE, ()) is expected


def test_an_etag_changes_with_client_visible_fields() -> None:
    base = etag_of(CARD, None)
    assert base == etag_of(replace(CARD, updated_at=datetime(2026, 1, 1, tzinfo=UTC)), None)
    changed = [
        etag_of(replace(CARD, expiry=Expiry(2029, 3)), None),
        etag_of(replace(CARD, status=PaymentMethodStatus.INACTIVE), None),
        etag_of(replace(CARD, title="Travel"), None),
        etag_of(CARD, "Travel"),
        etag_of(CARD, ""),
        etag_of(replace(BANK, last4="4242"), None),
    ]
    assert len({base, *changed}) == 1 + len(changed)
