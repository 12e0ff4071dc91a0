"""The state machine of a payment, over every sequence of four reports; and the arithmetic of its amounts."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise, permutations, product

import pytest

from app.vault.enums import MethodRef, PaymentMethodKind
from app.vault.payments import Amounts, NewPayment, PaymentRef, PaymentState, Quote
from app.vault.rules.payment_amounts import adds_up, differences
from app.vault.rules.payment_state import has_ended_unpaid, has_moved_money, may_follow

S = PaymentState
AFTER = (S.REFUNDED, S.REVERSED, S.RETURNED, S.DISPUTED)
REPORTS = [state for state in S if state is not S.QUOTED]
NEW = NewPayment(
    method_ref=MethodRef("spm_1"),
    method_kind=PaymentMethodKind.CARD,
    amount=10_000,
    tax=500,
    currency="USD",
    reference="invoice 7",
)
QUOTE = Quote(payment_ref=PaymentRef("pay_1"), payment=NEW, fee=99, total=10_599)


def after(reports: Iterable[PaymentState], state: PaymentState = S.QUOTED) -> list[PaymentState]:
    """Every state that a payment has been in."""
    states = [state]
    for reported in reports:
        states.append(reported if may_follow(states[-1], reported) else states[-1])
    return states


def test_whatever_is_reported_in_whatever_order() -> None:
    for reports in product(REPORTS, repeat=4):
        states = after(reports)
        for before, state in pairwise(states):
            if has_moved_money(before):
                assert has_moved_money(state), reports
            if has_ended_unpaid(before):
                assert state is before or has_moved_money(state), reports
            assert state is not S.QUOTED
        assert has_moved_money(states[-1]) is any(has_moved_money(one) for one in reports), reports


def test_the_order_of_what_becomes_of_captured_money_does_not_matter() -> None:
    for count in range(1, 5):
        for reports in permutations((S.CAPTURED, *AFTER), count):
            worst = max(reports, key=(S.CAPTURED, *AFTER).index)
            assert after(reports)[-1] is worst
            assert after([*reports, *reports])[-1] is worst


@pytest.mark.parametrize("state", S)
def test_a_repeat_is_no_change(state: PaymentState) -> None:
    assert not may_follow(state, state)


def test_only_a_capture_that_is_on_its_way_may_turn_out_never_to_have_left() -> None:
    assert [state for state in S if may_follow(state, S.QUOTED)] == [S.PROCESSING]


# ---- amounts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quote", "is_right"),
    [
        (QUOTE, True),
        (replace(QUOTE, total=999_999), False),
        (replace(QUOTE, fee=-99, total=10_401), False),
        (replace(QUOTE, total=10_099), False),
        (replace(QUOTE, fee=0, total=10_500), True),
    ],
)
def test_a_total_is_base_tax_and_fee(quote: Quote, is_right: bool) -> None:
    assert adds_up(quote) is is_right


@pytest.mark.parametrize(
    ("answered", "found"),
    [
        (Amounts(), {}),
        (Amounts(base=10_000, tax=500, fee=99, total=10_599, currency="USD"), {}),
        (Amounts(total=10_599.0), {}),
        (Amounts(total=105.99), {"total": (10_599, 105.99)}),
        (Amounts(tax=0, currency="EUR"), {"tax": (500, 0), "currency": ("USD", "EUR")}),
    ],
)
def test_what_an_answer_leaves_out_agrees(answered: Amounts, found: dict[str, object]) -> None:
    assert differences(QUOTE, answered) == found
