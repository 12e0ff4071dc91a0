"""Opaque ids: deterministic, tamper-proof, bound to key and tenant; invalid ones raise no exception."""

import string
import timeit
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store.records import MethodAddress
from app.store.ulids import CUSTOMER, EVENT, OPERATION, PAYMENT, new_id, new_id_after
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.wallet.ids import IdKind, Ids, kind_of
from app.wallet.keys import derive_key

KEY = "k" * 40
OTHER_KEY = "o" * 40
IDS = Ids(KEY)
ADDRESS = MethodAddress(ProviderName.LOANPRO, CustomerRef("37"), MethodRef("1181"))
MADE = IDS.encode_address(ADDRESS)

providers = st.sampled_from(list(ProviderName))
refs = st.text(st.characters(codec="utf-8"), max_size=60)
addresses = st.builds(
    lambda provider, ref, method: MethodAddress(provider, CustomerRef(ref), MethodRef(method)), providers, refs, refs
)
BASE64URL = string.ascii_letters + string.digits + "-_"


@given(addresses)
def test_every_address_comes_back_and_always_has_the_same_id(address: MethodAddress) -> None:
    made = IDS.encode_address(address)
    assert IDS.decode(made) == address
    assert Ids(KEY).encode_address(address) == made
    assert kind_of(made) is IdKind.METHOD


@given(addresses, addresses)
def test_different_addresses_have_different_ids(one: MethodAddress, other: MethodAddress) -> None:
    assert (IDS.encode_address(one) == IDS.encode_address(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "bc"), ("ab", "c")),
        (("a|b", "c"), ("a", "b|c")),
        (("a\x00", "b"), ("a", "\x00b")),
        (("", "x"), ("x", "")),
    ],
)
def test_refs_do_not_run_together(one: tuple[str, str], other: tuple[str, str]) -> None:
    made = [IDS.encode(ProviderName.ALOHA, CustomerRef(ref), MethodRef(method)) for ref, method in (one, other)]
    assert made[0] != made[1]
    assert [IDS.decode(each) for each in made] == [
        MethodAddress(ProviderName.ALOHA, CustomerRef(ref), MethodRef(method)) for ref, method in (one, other)
    ]


@given(addresses, st.data())
def test_one_changed_character_anywhere_makes_it_foreign(address: MethodAddress, data: st.DataObject) -> None:
    made = IDS.encode_address(address)
    place = data.draw(st.integers(0, len(made) - 1))
    instead = data.draw(st.sampled_from(BASE64URL).filter(lambda char: char != made[place]))
    assert IDS.decode(made[:place] + instead + made[place + 1 :]) is None


@given(addresses, st.data())
def test_cut_or_lengthened_ids_are_foreign(address: MethodAddress, data: st.DataObject) -> None:
    made = IDS.encode_address(address)
    assert IDS.decode(made[: data.draw(st.integers(0, len(made) - 1))]) is None
    assert IDS.decode(made + data.draw(st.text(BASE64URL, min_size=1, max_size=8))) is None


@given(st.text())
def test_no_text_is_ever_an_error(text: str) -> None:
    assert IDS.decode(text) is None
    assert IDS.decode("pm_" + text) is None
    assert kind_of(text) is None or text.startswith("cus_")


@pytest.mark.parametrize(
    "strange",
    [
        "",
        "pm_",
        MADE.upper(),
        MADE.removeprefix("pm_"),
        f" {MADE}",
        f"{MADE}\n",
        f"{MADE}=",
        f"{MADE}==",
        MADE.replace("pm_", "op_"),
        MADE.replace("pm_", "pm_pm_"),
        MADE[:-1] + "é",
        "pm_" + "A" * 10_000,
        "pm_\ud800" + "A" * 30,
    ],
)
def test_prefix_games_are_foreign(strange: str) -> None:
    assert IDS.decode(strange) is None


def test_another_tenant_or_key_reads_nothing() -> None:
    assert Ids(KEY, tenant="acme").decode(MADE) is None
    assert Ids(OTHER_KEY).decode(MADE) is None
    assert Ids(KEY, tenant="acme").encode_address(ADDRESS) != MADE


def test_rotation_makes_with_the_first_key_and_reads_with_all() -> None:
    rotated = Ids([OTHER_KEY, KEY])
    assert rotated.decode(MADE) == ADDRESS
    assert rotated.encode_address(ADDRESS) == Ids(OTHER_KEY).encode_address(ADDRESS)
    assert Ids(KEY).decode(rotated.encode_address(ADDRESS)) is None


def test_an_id_shows_nothing_of_its_address() -> None:
    ids = {IDS.encode(ProviderName.LOANPRO, CustomerRef("37"), MethodRef(str(number))) for number in range(100)}
    assert len({made[:12] for made in ids}) == 100
    assert not any("loanpro" in made.lower() for made in ids)


def test_refs_that_are_too_long_are_refused_and_the_longest_fits() -> None:
    longest = MethodAddress(ProviderName.JPMORGAN, CustomerRef("c" * 255), MethodRef("m" * 255))
    assert IDS.decode(IDS.encode_address(longest)) == longest
    with pytest.raises(ValueError, match="too long"):
        IDS.encode(ProviderName.JPMORGAN, CustomerRef("c" * 256), MethodRef("m"))


@pytest.mark.parametrize("keys", ["short", b"short", [], ["k" * 40, "short"]])
def test_weak_or_missing_keys_are_refused(keys: object) -> None:
    with pytest.raises(ValueError):
        Ids(keys)  # type: ignore[arg-type]


def test_each_purpose_has_its_own_key() -> None:
    assert derive_key(KEY, "one") != derive_key(KEY, "two")
    assert derive_key(KEY, "one") == derive_key(KEY.encode(), "one")


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        ("cus_01M7XXGS946ZPX92V2MBJ20C8A", IdKind.CUSTOMER),
        ("cus_load-0001", IdKind.CUSTOMER),
        ("op_01M7XXGS946ZPX92V2MBJ20C8A", IdKind.OPERATION),
        ("evt_01M7XXGS946ZPX92V2MBJ20C8A", IdKind.EVENT),
        ("pay_01M7XXGS946ZPX92V2MBJ20C8A", IdKind.PAYMENT),
        (MADE, IdKind.METHOD),
        ("op_short", None),
        ("cus_", None),
        ("cus_" + "x" * 65, None),
        ("op_01m7xxgs946zpx92v2mbj20c8a", None),
        ("op_81M7XXGS946ZPX92V2MBJ20C8A", None),
        ("xx_01M7XXGS946ZPX92V2MBJ20C8A", None),
    ],
)
def test_the_kind_of_an_id(made: str, kind: IdKind | None) -> None:
    assert kind_of(made) is kind


def test_new_ids_are_of_their_kind() -> None:
    made = [new_id(prefix) for prefix in (CUSTOMER, OPERATION, EVENT, PAYMENT)]
    assert [kind_of(each) for each in made] == [IdKind.CUSTOMER, IdKind.OPERATION, IdKind.EVENT, IdKind.PAYMENT]


def test_ulids_rise_across_threads() -> None:
    def hundred(_: int) -> list[str]:
        return [new_id("op_") for _ in range(100)]

    with ThreadPoolExecutor(4) as pool:
        batches = list(pool.map(hundred, range(20)))
    assert all(batch == sorted(batch) for batch in batches)
    assert len({made for batch in batches for made in batch}) == 2000


def test_an_id_follows_one_from_a_process_whose_clock_is_ahead() -> None:
    ahead = "evt_7ZZZZZZZZZZZZZZZZZZZZZZZ00"
    assert new_id_after("evt_", ahead) == "evt_7ZZZZZZZZZZZZZZZZZZZZZZZ01"
    assert new_id_after("evt_", None) > new_id("evt_")[:5]


def test_making_and_reading_an_id_is_cheap() -> None:
    """The aim is 20 us; the bound leaves room for a busy machine."""
    made = min(timeit.repeat(lambda: IDS.encode_address(ADDRESS), number=200, repeat=5)) / 200
    read = min(timeit.repeat(lambda: IDS.decode(MADE), number=200, repeat=5)) / 200
    assert max(made, read) < 100e-6
