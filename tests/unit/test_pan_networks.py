"""Card numbers of every network in any spelling, identifiers that are none, and the cost of the check."""

import base64
import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store.ulids import CUSTOMER, OPERATION, new_id
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.vault.pan import card_number_spans, looks_like_card_number
from app.wallet.ids import Ids
from tests.support.call_count import calls_made
from tests.unit.test_http_pan import found, luhn

# Network, leading digits, lengths: ISO/IEC 7812 ranges as the networks publish them.
NETWORKS: dict[str, tuple[list[str], list[int]]] = {
    "visa": (["4"], [13, 16, 19]),
    "mastercard": ([str(each) for each in range(51, 56)] + ["2221", "2300", "2699", "2720"], [16]),
    "amex": (["34", "37"], [15]),
    "discover": (["6011", "644", "649", "65"], [16, 19]),
    "diners": (["300", "305", "3095", "36", "38", "39"], [14, 16, 19]),
    "jcb": (["3528", "3589"], [16, 19]),
    "jcb 15": (["2131", "1800"], [15]),
    "unionpay": (["62"], [16, 17, 18, 19]),
    "maestro": (["5018", "5020", "5038", "5893", "6304", "6759", "6761", "6763", "56", "58"], list(range(12, 20))),
    "elo": (["4011", "431274", "438935", "451416", "504175", "506699", "509000", "627780", "636297", "650031"], [16]),
    "rupay": (["508", "60", "65", "81", "82", "353", "356"], [16]),
    "mir": (["2200", "2204"], [16, 19]),
    "troy": (["9792", "65"], [16]),
    "verve": (["506099", "506198", "507865", "507964", "650002", "650027"], [16, 18, 19]),
    "hipercard": (["606282"], [16]),
    "uatp": (["1"], [15]),
}
SEPARATORS = [
    *" \t\n-./_,:;#*|'\u00a0\u2009\u200b\u200d\u2011\u2013\u2212\u3000\ufeff\uff0d",
    *(" - ", "--", "...", " / ", "\u200b\u200b\u200b"),
]
DIGITS = ["0123456789", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "０１２３４５６７８９", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗", "⁰¹²³⁴⁵⁶⁷⁸⁹"]


@st.composite
def card_numbers(draw: st.DrawFn) -> str:
    prefixes, lengths = NETWORKS[draw(st.sampled_from(sorted(NETWORKS)))]
    prefix, length = draw(st.sampled_from(prefixes)), draw(st.sampled_from(lengths))
    rest = length - 1 - len(prefix)
    return luhn(prefix + draw(st.text(string.digits, min_size=rest, max_size=rest)))


@given(card_numbers(), st.data())
def test_a_card_number_of_any_network_is_found_however_it_is_written(number: str, data: st.DataObject) -> None:
    separator = data.draw(st.sampled_from(SEPARATORS))
    cuts = data.draw(st.sets(st.integers(1, len(number) - 1)))
    script = data.draw(st.sampled_from(DIGITS))
    around = data.draw(
        st.sampled_from([("", ""), ("card", ""), ("201:", ""), ("my (", ")"), ("pan=", "&x=y"), ("€", "z")])
    )
    written = "".join((separator if index in cuts else "") + script[int(digit)] for index, digit in enumerate(number))
    assert looks_like_card_number(around[0] + written + around[1])
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert found(wrong) == []


@given(card_numbers().filter(lambda number: len(number) > 15))
def test_a_plus_hides_no_number_that_is_too_long_for_a_telephone(number: str) -> None:
    assert found(f"+{number}") == [number]


def separated(value: str) -> list[str]:
    return [value, value.upper(), f"id={value}", f"order {value}, thanks", f"req_{value}"]


@given(st.uuids(version=4) | st.uuids())
def test_uuids_pass(made: uuid.UUID) -> None:
    for text in (*separated(str(made)), *separated(made.hex), made.urn):
        assert found(text) == []


@given(st.integers(0, 2**128 - 1))
def test_ulids_pass(number: int) -> None:
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    ulid = "".join(alphabet[number >> (5 * place) & 31] for place in reversed(range(26)))
    for text in separated(ulid) + separated(ulid.lower()):
        assert found(text) == []


COUNTRY_CODES = [
    *("1", "7", "20", "30", "33", "34", "36", "39", "41", "44", "46", "49", "52", "55", "56", "57", "60", "61", "62"),
    *("63", "65", "66", "81", "86", "91", "351", "353", "370", "380", "420", "503", "591", "852", "971"),
]


@given(st.sampled_from(COUNTRY_CODES), st.text(string.digits, min_size=6, max_size=10))
def test_telephone_numbers_in_e164_pass(country: str, rest: str) -> None:
    assert found(f"+{country}{rest}") == []
    assert found(f"+{country} {rest[:3]}-{rest[3:]}") == []


@given(st.text(string.digits, min_size=20, max_size=60))
def test_a_longer_run_of_digits_is_no_card_number(digits: str) -> None:
    assert found(digits) == []
    assert found(f"order {digits}.") == []


@given(st.text(string.digits, min_size=12, max_size=19))
def test_an_order_number_that_fails_luhn_passes(digits: str) -> None:
    if luhn(digits[:-1]) != digits:
        assert found(digits) == []


@given(st.datetimes(), st.timezones() | st.none())
def test_times_pass(when: object, zone: object) -> None:
    moved = when.replace(tzinfo=zone)  # type: ignore[attr-defined]
    if 1900 <= moved.year < 2200:
        assert found(moved.isoformat()) == []
        assert found(f"{moved} done") == []


@given(st.binary(min_size=12, max_size=700))
def test_tokens_in_base64_pass(made: bytes) -> None:
    random_looking = bytes(
        byte ^ salt for byte, salt in zip(made, uuid.uuid5(uuid.NAMESPACE_OID, made.hex()).bytes * 44, strict=False)
    )
    assert found(base64.b64encode(random_looking).decode()) == []


def test_ids_of_the_gateway_pass() -> None:
    ids = Ids("k" * 32)
    for number in range(300):
        assert found(new_id(CUSTOMER)) == found(new_id(OPERATION)) == []
        assert found(ids.encode(ProviderName.LOANPRO, CustomerRef(str(number)), MethodRef(str(number * 7)))) == []


UNITS = (
    *("4", "4 ", "41111111 ", "411111111111 ", "-", "a4111111111111111 ", "4111 1111 1111 1112 ", "5-", "+4 "),
    *("0.4", "f" * 30, "2026-"),
)


@pytest.mark.parametrize("unit", UNITS)
def test_the_work_grows_no_faster_than_the_text(unit: str) -> None:
    """Calls of Python functions, resumed generators included; the patterns themselves look ahead a bounded way."""
    small, large = (unit * (size // len(unit)) for size in (2_000, 16_000))
    assert calls_made(lambda: card_number_spans(large)) <= 9 * calls_made(lambda: card_number_spans(small)) + 100
