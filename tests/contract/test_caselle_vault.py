"""Caselle only, against the stateful emulator over real HTTP."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.errors import OutcomeUnknown, RejectReason, VaultRefusedUs, VaultRejected, VaultUnavailable
from app.providers.caselle.client import CaselleVault
from app.providers.registry import open_provider
from app.sandbox.caselle.demo import CARDS_ONLY_ACCOUNT, INACTIVE_ACCOUNT
from app.sandbox.demo import ALEX
from app.vault.enums import BankAccountType, BankRail, CardBrand, CustomerRef, MethodRef, ProviderName
from app.vault.model import BankAccount, BeforeAdd, Card, Expiry, NewCustomer, PersonName, VaultWallet
from tests.contract.case_caselle import new_bank, new_card, new_customer
from tests.support.calls import paths, settings_on, soon
from tests.support.sandbox import RunningSandbox

ALEX_REF = CustomerRef(ALEX.refs["caselle"])
VISA = MethodRef("spm_alexvisa")
ACH = MethodRef("spm_alexach")
CUSTOMER = f"/api/customers/{ALEX_REF}"
METHODS = f"{CUSTOMER}/payment-methods"
NOTHING = BeforeAdd(method_refs=frozenset())


@pytest.fixture
async def vault(sandbox: RunningSandbox) -> AsyncIterator[CaselleVault]:
    opened = open_provider(ProviderName.CASELLE, settings_on(sandbox))
    yield opened
    await opened.close()


async def wallet_of(vault: CaselleVault, ref: CustomerRef = ALEX_REF) -> VaultWallet:
    found = (await vault.wallets([ref], soon()))[ref]
    assert isinstance(found, VaultWallet)
    return found


async def defaults(vault: CaselleVault) -> dict[MethodRef, bool | None]:
    return {method.method_ref: method.is_provider_default for method in (await wallet_of(vault)).methods}


# ---- reading ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["bare", "wrapped"])
async def test_a_wallet_is_one_call_in_either_shape(vault: CaselleVault, sandbox: RunningSandbox, shape: str) -> None:
    sandbox.switch("caselle", "LIST_SHAPE", shape)
    assert (await wallet_of(vault)).methods == (
        Card(
            provider=ProviderName.CASELLE,
            customer_ref=ALEX_REF,
            method_ref=VISA,
            holder_name="Alex Morales",
            last4="4242",
            is_provider_default=True,
            brand=CardBrand.VISA,
            expiry=Expiry(2029, 12),
            bin="424242",
        ),
        BankAccount(
            provider=ProviderName.CASELLE,
            customer_ref=ALEX_REF,
            method_ref=ACH,
            holder_name="Alex Morales",
            last4="1156",
            is_provider_default=False,
            rail=BankRail.ACH,
            account_type=BankAccountType.CHECKING,
        ),
    )
    assert paths(sandbox, "caselle") == [f"GET {METHODS}"]


async def test_a_list_without_a_default_reads_the_customer(vault: CaselleVault, sandbox: RunningSandbox) -> None:
    sandbox.switch("caselle", "DEFAULT_MARKER", "customer")
    assert await defaults(vault) == {VISA: True, ACH: False}
    assert paths(sandbox, "caselle") == [f"GET {METHODS}", f"GET {CUSTOMER}"]


@pytest.mark.parametrize("status", [404, 500])
async def test_an_unreadable_default_is_not_guessed(vault: CaselleVault, sandbox: RunningSandbox, status: int) -> None:
    """A fault's path is a prefix, so the fault is set while the list's reply is in flight to hit only the next call."""
    sandbox.switch("caselle", "DEFAULT_MARKER", "customer")
    sandbox.fault("caselle", "delay", delay_ms=300, path=METHODS)
    reading = asyncio.create_task(wallet_of(vault))
    while paths(sandbox, "caselle") != [f"GET {METHODS}"]:
        await asyncio.sleep(0.02)
    sandbox.fault("caselle", "status", status=status, path=CUSTOMER)
    wallet = await reading
    assert [method.is_provider_default for method in wallet.methods] == [None, None]


async def test_find_by_external_id(vault: CaselleVault, sandbox: RunningSandbox) -> None:
    assert await vault.find_customer("user-88420", soon()) == ALEX_REF
    assert await vault.find_customer("USER-88420", soon()) is None
    sandbox.switch("caselle", "LIST_SHAPE", "wrapped")
    assert await vault.find_customer("user-88420", soon()) == ALEX_REF


@pytest.mark.parametrize("external_id", ["it's", "a' or reference_id ne '", "50% & more+ü", "''"])
async def test_quotes_in_a_key_are_data(vault: CaselleVault, external_id: str) -> None:
    new = NewCustomer(external_id=external_id, name=PersonName("Ada", "Example"))
    assert await vault.find_customer(external_id, soon()) is None
    created = await vault.create_customer(new, soon())
    assert await vault.find_customer(external_id, soon()) == created


@pytest.mark.parametrize("account", [INACTIVE_ACCOUNT, "pa_nobody", ""])
async def test_an_unknown_payment_account(sandbox: RunningSandbox, account: str) -> None:
    opened = open_provider(ProviderName.CASELLE, settings_on(sandbox, caselle={"payment_account_uid": account}))
    try:
        with pytest.raises(VaultRefusedUs):
            await opened.check(soon())
    finally:
        await opened.close()


# ---- customers --------------------------------------------------------------------------------------------


async def test_concurrent_creates_return_the_same_customer(vault: CaselleVault, sandbox: RunningSandbox) -> None:
    found = await asyncio.gather(*(vault.create_customer(new_customer(1), soon()) for _ in range(8)))
    assert len(set(found)) == 1
    assert await vault.customer_exists(found[0], soon())
    statuses = [row["status"] for row in sandbox.calls("caselle") if row["method"] == "POST"]
    assert sorted(statuses) == [201, *[409] * 7]


@pytest.mark.parametrize("kind", ["drop_after", "garbage", "truncate"])
async def test_a_lost_create_is_found_by_its_key(vault: CaselleVault, sandbox: RunningSandbox, kind: str) -> None:
    sandbox.fault("caselle", kind, method="POST", path="/api/customers", times=1, commit=True)
    created = await vault.create_customer(new_customer(2), soon())
    assert await vault.find_customer("contract-2", soon()) == created
    assert len([row for row in sandbox.calls("caselle") if row["method"] == "POST"]) == 1


async def test_a_create_that_never_arrived_stays_unknown(vault: CaselleVault, sandbox: RunningSandbox) -> None:
    sandbox.fault("caselle", "status", status=504, method="POST", path="/api/customers", times=1)
    with pytest.raises(OutcomeUnknown):
        await vault.create_customer(new_customer(3), soon())
    sandbox.fault("caselle", "drop_after", method="POST", path="/api/customers", times=1)
    sandbox.fault("caselle", "status", status=500, method="GET", path="/api/customers")
    with pytest.raises(OutcomeUnknown):
        await vault.create_customer(new_customer(3), soon())
    sandbox.clear_faults()
    assert await vault.find_customer("contract-3", soon()) is not None


# ---- methods ----------------------------------------------------------------------------------------------


async def test_a_new_customer_holds_nothing(vault: CaselleVault) -> None:
    ref = await vault.create_customer(new_customer(4), soon())
    assert (await wallet_of(vault, ref)).methods == ()


async def test_the_token_is_exchanged_and_never_shown(vault: CaselleVault, sandbox: RunningSandbox) -> None:
    new = new_card(sandbox)
    before = await vault.before_add(ALEX_REF, new, soon())
    assert before == BeforeAdd(method_refs=frozenset({VISA, ACH}), default_ref=VISA)
    added = await vault.add(ALEX_REF, new, before, True, soon())
    wallet = await wallet_of(vault)
    [stored] = [method for method in wallet.methods if method.method_ref == added.method_ref]
    assert isinstance(stored, Card)
    assert (stored.last4, stored.expiry, stored.brand) == ("1881", Expiry(2031, 7), CardBrand.VISA)
    assert (stored.bin, stored.holder_name, stored.is_provider_default) == ("401288", "Ada Example", False)
    assert new.secret.reveal() not in repr((added, wallet))


async def test_expired_tokens_and_tokens_of_another_kind(vault: CaselleVault, sandbox: RunningSandbox) -> None:
    late, wrong = new_card(sandbox), new_bank(sandbox, secret=new_card(sandbox).secret)
    with pytest.raises(VaultRejected) as caught:
        await vault.add(ALEX_REF, wrong, NOTHING, False, soon())
    assert (caught.value.reason, caught.value.provider_code) == (RejectReason.TOKEN_INVALID, "token_invalid")
    sandbox.clock(advance_s=16 * 60)
    with pytest.raises(VaultRejected) as caught:
        await vault.add(ALEX_REF, late, NOTHING, False, soon())
    assert (caught.value.reason, caught.value.provider_code) == (RejectReason.TOKEN_INVALID, "token_expired")
    assert late.secret.reveal() not in str(caught.value)


async def test_a_kind_that_the_account_does_not_support(sandbox: RunningSandbox) -> None:
    opened = open_provider(
        ProviderName.CASELLE, settings_on(sandbox, caselle={"payment_account_uid": CARDS_ONLY_ACCOUNT})
    )
    try:
        ref = await opened.create_customer(new_customer(5), soon())
        with pytest.raises(VaultRejected) as caught:
            await opened.add(ref, new_bank(sandbox), NOTHING, False, soon())
    finally:
        await opened.close()
    assert caught.value.reason is RejectReason.NOT_ENABLED


async def test_a_refused_field_has_its_path(vault: CaselleVault, sandbox: RunningSandbox) -> None:
    """Nine digits pass the gateway's rule but are not a valid routing number for the vault."""
    with pytest.raises(VaultRejected) as caught:
        await vault.add(ALEX_REF, new_bank(sandbox, routing_number="122000248"), NOTHING, False, soon())
    assert caught.value.reason is RejectReason.INVALID_INPUT
    assert [fault.path for fault in caught.value.faults] == [("routing_number",)]


@pytest.mark.parametrize("answer", ["customer", "empty"])
async def test_default_moves_whatever_the_answer(vault: CaselleVault, sandbox: RunningSandbox, answer: str) -> None:
    sandbox.switch("caselle", "DEFAULT_ANSWER", answer)
    await vault.set_default(ALEX_REF, ACH, soon())
    assert await defaults(vault) == {VISA: False, ACH: True}
    await vault.set_default(ALEX_REF, ACH, soon())


async def test_unknown_customer_and_unknown_method_have_distinct_errors(vault: CaselleVault) -> None:
    with pytest.raises(VaultRejected) as caught:
        await vault.set_default(ALEX_REF, MethodRef("spm_nothing"), soon())
    assert caught.value.reason is RejectReason.METHOD_NOT_FOUND
    with pytest.raises(VaultRejected) as caught:
        await vault.set_default(CustomerRef("cus_nobody"), ACH, soon())
    assert caught.value.reason is RejectReason.CUSTOMER_NOT_FOUND


async def test_delete_is_idempotent_and_leaves_no_default(vault: CaselleVault) -> None:
    await vault.delete(ALEX_REF, VISA, soon())
    await vault.delete(ALEX_REF, VISA, soon())
    assert await defaults(vault) == {ACH: False}


async def test_a_wrong_base_url_is_reported(sandbox: RunningSandbox) -> None:
    opened = open_provider(ProviderName.CASELLE, settings_on(sandbox, caselle={"base_url": f"{sandbox.url}/nowhere"}))
    try:
        with pytest.raises(VaultUnavailable, match=r"caselle\.base_url"):
            await opened.check(soon())
    finally:
        await opened.close()


async def test_malformed_refs_cause_no_call(vault: CaselleVault, sandbox: RunningSandbox) -> None:
    for ref in ("", "..", "a/b", "a?b", "x" * 129, "é", "a\n", "-a"):
        for write in (
            vault.set_default(CustomerRef(ref), ACH, soon()),
            vault.set_default(ALEX_REF, MethodRef(ref), soon()),
            vault.delete(ALEX_REF, MethodRef(ref), soon()),
        ):
            with pytest.raises(VaultRejected):
                await write
    assert sandbox.calls("caselle") == []


async def test_a_save_with_an_unreadable_reply_is_unknown(vault: CaselleVault, sandbox: RunningSandbox) -> None:
    for kind in ("garbage", "drop_after", "throttle"):
        sandbox.fault("caselle", kind, method="POST", path=METHODS, times=1)
        with pytest.raises(OutcomeUnknown):
            await vault.add(ALEX_REF, new_card(sandbox), NOTHING, False, soon())
