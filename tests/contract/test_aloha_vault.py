"""Aloha only: a list in three shapes, a 404 with two meanings, tokens of three payment providers."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.errors import RejectReason, VaultError, VaultRejected
from app.providers.aloha.client import AlohaVault
from app.sandbox.aloha.demo import ELSEWHERE, ODD, UNLINKED
from app.testing.fixtures import Build
from app.testing.reading import failure, read
from app.vault.enums import CardBrand, CustomerRef
from app.vault.model import Card, Expiry, NewCard, VaultWallet
from app.vault.provider import Call
from tests.contract.case_aloha import ALOHA, credit_call, freedom_pay, new_card, new_customer
from tests.support.sandbox import RunningSandbox

ALEX = ALOHA.full_ref
EMPTY = CustomerRef(UNLINKED)


@pytest.fixture
def aloha(build: Build) -> AlohaVault:
    vault = build(ALOHA)
    assert isinstance(vault, AlohaVault)
    return vault


# ---- reading ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["array", "single_or_array"])
async def test_a_list_in_every_shape(aloha: AlohaVault, sandbox: RunningSandbox, call: Call, shape: str) -> None:
    sandbox.switch("aloha", "PAYMENTS_SHAPE", shape)
    assert len((await read(aloha, ALEX, call)).methods) == 2
    assert len((await read(aloha, CustomerRef(ODD), call)).methods) == 1


async def test_a_list_that_is_always_one_object(aloha: AlohaVault, sandbox: RunningSandbox, call: Call) -> None:
    sandbox.switch("aloha", "PAYMENTS_SHAPE", "single")
    assert [method.last4 for method in (await read(aloha, ALEX, call)).methods] == ["1111"]


@pytest.mark.parametrize(("switch", "calls"), [("not_found", 2), ("empty_array", 1)])
async def test_nothing_saved_is_not_an_unknown_customer(
    aloha: AlohaVault, sandbox: RunningSandbox, call: Call, switch: str, calls: int
) -> None:
    sandbox.switch("aloha", "EMPTY_PAYMENTS", switch)
    assert (await read(aloha, EMPTY, call)).methods == ()
    assert len(sandbox.calls("aloha")) == calls
    missing = await failure(aloha, ALOHA.unknown_ref, call)
    assert isinstance(missing, VaultRejected)
    assert missing.reason is RejectReason.CUSTOMER_NOT_FOUND


async def test_ambiguous_404_is_not_an_empty_wallet(aloha: AlohaVault, sandbox: RunningSandbox, call: Call) -> None:
    """The list replies 404, and the customer cannot be read."""
    sandbox.fault("aloha", "status", path="/v1/Customers/", status=500)
    sandbox.fault("aloha", "status", path=f"/v1/Customers/{EMPTY}/Payments", status=404)
    error = await failure(aloha, EMPTY, call)
    assert isinstance(error, VaultError)
    assert not isinstance(error, VaultRejected)


async def test_unpublished_enum_numbers_map_to_other(aloha: AlohaVault, call: Call) -> None:
    [card] = (await read(aloha, CustomerRef(ODD), call)).methods
    assert isinstance(card, Card)
    assert (card.brand, card.last4, card.bin, card.expiry) == (CardBrand.OTHER, "0008", "360000", Expiry(2029, 5))


async def test_a_customer_of_another_company_is_unknown(aloha: AlohaVault, call: Call) -> None:
    missing = await failure(aloha, CustomerRef(ELSEWHERE), call)
    assert isinstance(missing, VaultRejected)
    assert missing.reason is RejectReason.CUSTOMER_NOT_FOUND


async def test_a_ref_in_capitals_is_the_same_customer(aloha: AlohaVault, call: Call) -> None:
    upper = CustomerRef(ALEX.upper())
    found = await read(aloha, upper, call)
    assert found.customer_ref == upper
    assert len(found.methods) == 2


# ---- adding -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [new_card, credit_call, freedom_pay])
async def test_a_card_reads_back_as_it_was_given(
    aloha: AlohaVault, sandbox: RunningSandbox, call: Call, make: Callable[[RunningSandbox], NewCard]
) -> None:
    new = make(sandbox)
    added = await aloha.add(ALEX, new, await aloha.before_add(ALEX, new, call), True, call)
    wallet = await read(aloha, ALEX, call)
    card = next(method for method in wallet.methods if method.method_ref == added.method_ref)
    assert isinstance(card, Card)
    assert (card.brand, card.last4, card.bin, card.expiry) == (new.brand, "4444", "555555", new.expiry)
    assert card.is_provider_default is None
    assert len(wallet.methods) == 3


@pytest.mark.parametrize(("switch", "ids"), [("new_account", 2), ("same_account", 1)])
async def test_the_same_token_twice(
    aloha: AlohaVault, sandbox: RunningSandbox, call: Call, switch: str, ids: int
) -> None:
    sandbox.switch("aloha", "DUPLICATE_TOKEN", switch)
    new = new_card(sandbox)
    refs = set()
    for _ in range(2):
        before = await aloha.before_add(ALEX, new, call)
        refs.add((await aloha.add(ALEX, new, before, False, call)).method_ref)
    assert len(refs) == ids
    assert (await aloha.before_add(ALEX, new, call)).duplicate_of in refs


async def test_refused_token_names_its_field(aloha: AlohaVault, sandbox: RunningSandbox, call: Call) -> None:
    sandbox.switch("aloha", "DUPLICATE_TOKEN", "reject")
    new = new_card(sandbox)
    await aloha.add(ALEX, new, await aloha.before_add(ALEX, new, call), False, call)
    with pytest.raises(VaultRejected) as refused:
        await aloha.add(ALEX, new, await aloha.before_add(ALEX, new, call), False, call)
    assert refused.value.reason is RejectReason.TOKEN_INVALID
    assert [fault.path for fault in refused.value.faults] == [("secret",)]


async def test_refused_date_names_its_field(aloha: AlohaVault, sandbox: RunningSandbox, call: Call) -> None:
    sandbox.switch("aloha", "PAST_EXPIRATION", "reject")
    new = replace(new_card(sandbox), expiry=Expiry(2001, 1))
    with pytest.raises(VaultRejected) as refused:
        await aloha.add(ALEX, new, await aloha.before_add(ALEX, new, call), False, call)
    assert refused.value.reason is RejectReason.INVALID_INPUT
    assert [fault.path for fault in refused.value.faults] == [("expiry",)]


async def test_a_payment_provider_that_the_company_lacks(
    build: Build, aloha: AlohaVault, sandbox: RunningSandbox, call: Call
) -> None:
    sandbox.switch("aloha", "ENABLED_PROVIDERS", "2")
    new = freedom_pay(sandbox)
    with pytest.raises(VaultRejected) as refused:
        await aloha.add(ALEX, new, await aloha.before_add(ALEX, new, call), False, call)
    assert refused.value.reason is RejectReason.NOT_ENABLED
    connected = build(ALOHA, payment_providers=["CONNECTED_PAYMENTS"])
    assert [(fault.path, fault.code) for fault in connected.faults_of_add(new)] == [
        (("payment_provider",), "UNSUPPORTED_BY_PROVIDER")
    ]


async def test_adapter_never_sends_post(aloha: AlohaVault, sandbox: RunningSandbox, call: Call) -> None:
    """POST replaces: all payment methods at `.../Payments`, the whole record at the customer."""
    for make in ALOHA.new_methods.values():
        new = make(sandbox)
        await aloha.add(ALEX, new, await aloha.before_add(ALEX, new, call), True, call)
    await aloha.create_customer(new_customer(9), call)
    assert {row["method"] for row in sandbox.calls("aloha")} == {"GET", "PUT"}


@pytest.mark.parametrize("status", ["400", "409"])
async def test_a_used_address_is_a_duplicate_customer(
    aloha: AlohaVault, sandbox: RunningSandbox, call: Call, status: str
) -> None:
    sandbox.switch("aloha", "DUPLICATE_EMAIL_STATUS", status)
    with pytest.raises(VaultRejected) as refused:
        await aloha.create_customer(replace(new_customer(1), email="Alex@Example.com"), call)
    assert (refused.value.reason, refused.value.provider_code) == (RejectReason.DUPLICATE_CUSTOMER, "DuplicateKey")


async def test_one_broken_customer_among_many(aloha: AlohaVault, sandbox: RunningSandbox, call: Call) -> None:
    first, second, *_ = ALOHA.many_refs
    sandbox.fault("aloha", "garbage", path=f"/v1/Customers/{first}/")
    found = await aloha.wallets([first, second], call)
    assert isinstance(found[first], VaultError)
    assert isinstance(found[second], VaultWallet)
