"""Detection of card numbers. All numbers are published test cards or invented."""

import random
import time
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.vault.pan import card_number_spans, looks_like_card_number

CARDS = {
    "visa": "4111111111111111",
    "visa 13": "4222222222222",
    "visa 19": "4000000000000000006",
    "mastercard": "5555555555554444",
    "mastercard 2": "2223003122003222",
    "mastercard 2 low": "2221000000000009",
    "mastercard 2 high": "2720990000000007",
    "amex": "378282246310005",
    "amex 34": "343434343434343",
    "discover": "6011111111111117",
    "discover 65": "6510000000000034",
    "discover 644": "6440000000000005",
    "jcb": "3530111333300000",
    "diners": "30569309025904",
    "diners 36": "36227206271667",
    "diners 38": "38520000023237",
    "unionpay": "6200000000000005",
    "unionpay 19": "6205500000000000004",
    "maestro": "6759649826438453",
}


def luhn(body: str) -> str:
    """Append the Luhn check digit."""
    total = 0
    for index, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if index % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return body + str(-total % 10)


def found(text: str) -> list[str]:
    return [text[start:end] for start, end in card_number_spans(text)]


@pytest.mark.parametrize("number", CARDS.values(), ids=CARDS)
def test_known_test_cards_are_found(number: str) -> None:
    assert found(number) == [number]
    assert found(f"pay with {number}, please") == [number]
    assert found(f'{{"n":"{number}"}}') == [number]
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert found(wrong) == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4111 1111 1111 1111", None),
        ("4111-1111-1111-1111", None),
        ("3782 822463 10005", None),
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", None),
        ("4111\u00a01111\u00a01111\u00a01111", None),
        ("4111–1111–1111–1111", None),
        ("4111  1111  1111  1111", None),
        ("4111.1111.1111.1111", None),
        ("4111/1111/1111/1111", None),
        ("4111_1111_1111_1111", None),
        ("4111\n1111\n1111\n1111", None),
        ("4111 - 1111 - 1111 - 1111", None),
        ("4111\u200b1111\u200d1111\ufeff1111", None),
        ("+4111111111111111", "4111111111111111"),
        ("+378282246310005", "378282246310005"),
        ("+49 378282246310005", "378282246310005"),
        ("201:4111111111111111", "4111111111111111"),
        ("a4111111111111111", "4111111111111111"),
        ("f4111111111111111a", "4111111111111111"),
        ("B4111111111111111^DOE/JANE^2912101", "4111111111111111"),
        (";4111111111111111=29121010000", "4111111111111111"),
        ("2026-11-21T01:56:51Z 4111111111111111", "4111111111111111"),
        ("41111111-1111-1111-1111-111111111111 378282246310005", "378282246310005"),
        ("４１１１ １１１１ １１１１ １１１１", None),
        ("٤١١١١١١١١١١١١١١١", None),
        ("card4111111111111111", "4111111111111111"),
        ("pan=4111111111111111&x=1", "4111111111111111"),
        ("4111111111111111.", "4111111111111111"),
        ("4111111111111111.0", "4111111111111111"),
        ("4111 1111 1111 1111 123", "4111 1111 1111 1111"),
        ("4111111111111111 12/29", "4111111111111111"),
        ("12 4111111111111111 99", "4111111111111111"),
        ("order 77 4111-1111-1111-1111 03 2031", "4111-1111-1111-1111"),
    ],
)
def test_separators_do_not_hide_a_card_number(text: str, number: str | None) -> None:
    assert found(text) == [number or text]


def test_several_in_one_text() -> None:
    assert found("4111111111111111 5555555555554444\n378282246310005") == [
        "4111111111111111",
        "5555555555554444",
        "378282246310005",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111",
        "411111******1111",
        "xxxx-xxxx-xxxx-1111",
        "1732154211000",  # a timestamp in milliseconds, microseconds, nanoseconds
        "1732154211000000",
        "1732154211000000000",
        "2026-11-21T01:56:51.411111Z",
        "2026-11-21 01:56:51",
        "20261121015651",
        "+49 4111 1111 1111 1",
        "+491512345678901",
        "0.4111111111111111",
        "41111111111111111111111",  # inside a longer number
        "94111111111111111",
        "deadbeef4111111111111111",  # hexadecimal
        "41111111-1111-1111-1111-111111111111",
        "4111    1111    1111    1111",
        "4242424242424",
        "021000021 123456789",  # routing and account number
        "0000000000000000",
        "1234567812345670",  # valid check digit, but no issuer range
        "9999999999999995",
    ],
)
def test_other_numbers_are_not_matched(text: str) -> None:
    assert found(text) == []
    assert not looks_like_card_number(text)


def test_ids_and_timestamps_are_not_matched_in_bulk() -> None:
    dice = random.Random(3)
    for _ in range(3000):
        made = uuid.UUID(int=dice.getrandbits(128), version=4)
        assert found(str(made)) == []
        assert found(made.hex) == []
    now = time.time_ns()
    for step in range(0, 3_000_000_000_000_000, 1_000_000_000_003):
        nanos = now + step
        assert found(f"{nanos} {nanos // 1000} {nanos // 1_000_000}") == []
        assert found(datetime.fromtimestamp(nanos / 1e9, UTC).isoformat()) == []
    for left, right in ((dice.random(), dice.random()) for _ in range(3000)):
        assert found(f"{left} {right}") == []


@given(st.text(max_size=60), st.sampled_from(sorted(CARDS.values())), st.text(max_size=60))
def test_a_card_number_is_found_in_any_text(before: str, number: str, after: str) -> None:
    text = f"{before} <<| {number} |>> {after}"
    assert number in found(text)


@given(st.sampled_from(["4", "51", "2221", "34", "6011", "3528", "36", "62"]), st.data())
def test_any_number_in_an_issuer_range_is_found_with_any_separators(prefix: str, data: st.DataObject) -> None:
    length = {"34": 15, "36": 14}.get(prefix, 16)
    body = prefix + "".join(data.draw(st.lists(st.sampled_from("0123456789"), min_size=20, max_size=20)))
    number = luhn(body[: length - 1])
    cuts = data.draw(st.sets(st.integers(1, length - 1)))
    separator = data.draw(st.sampled_from([" ", "-"]))
    text = "".join(separator + digit if index in cuts else digit for index, digit in enumerate(number))
    assert looks_like_card_number(text)


@given(st.text(alphabet="0123456789 -\u00a0./_+abcxyz", max_size=200))
def test_spans_are_ordered_apart_and_hold_a_plausible_number(text: str) -> None:
    last = 0
    for start, end in card_number_spans(text):
        assert last <= start < end <= len(text)
        digits = "".join(char for char in text[start:end] if char.isdigit())
        assert 12 <= len(digits) <= 19
        assert luhn(digits[:-1]) == digits
        last = end
    assert looks_like_card_number(text) == bool(card_number_spans(text))
