"""Behaviour of the Stripe adapter beyond the contract: idempotency keys, pages, errors, other customers' methods."""

from dataclasses import replace
from typing import Any

import pytest
from conftest import Proxy
from localstripe_server import DECLINED, LocalStripe
from vaultgraph_stripe import mapping
from vaultgraph_stripe.mapping import NAME

from app.errors import OutcomeUnknown, RejectReason, VaultRejected, VaultReplyUnreadable
from app.testing.case import VaultCase
from app.testing.fixtures import Build
from app.testing.reading import failure, read
from app.testing.sandbox import RunningSandbox
from app.vault.enums import AddRoute, BankAccountType, CustomerRef, MethodRef, PaymentMethodStatus, WalletKind
from app.vault.model import Address, BeforeAdd, NewCard
from app.vault.provider import Call, VaultProvider
from app.vault.secret import Secret

NOTHING = BeforeAdd(method_refs=frozenset())
CUSTOMER = {"id": "cus_1", "object": "customer", "invoice_settings": {"default_payment_method": "pm_2"}}


def by_token(token: str) -> NewCard:
    return NewCard(provider=NAME, route=AddRoute.PROVIDER_TOKEN, secret=Secret(token))


async def test_each_write_carries_the_key_of_its_call(
    vault: VaultProvider, case: VaultCase, stripe: LocalStripe, proxy: Proxy, call: Call
) -> None:
    keyed = [replace(call, idempotency_key=f"op-{number}") for number in range(4)]
    proxy.emulator.keys.clear()
    assert case.new_customer is not None
    ref = await vault.create_customer(case.new_customer(1), keyed[0])
    added = await vault.add(ref, by_token(stripe.new_method()), NOTHING, False, keyed[1])
    await vault.set_default(ref, added.method_ref, keyed[2])
    await vault.delete(ref, added.method_ref, keyed[3])
    assert proxy.emulator.keys == ["op-0", "op-1", "op-2", "op-3"]
    await vault.create_customer(case.new_customer(2), call)
    assert proxy.emulator.keys[4:] == [None]


async def test_a_long_list_is_read_to_its_end(vault: VaultProvider, stripe: LocalStripe, call: Call) -> None:
    ref = CustomerRef(stripe.new_customer(methods=103))
    wallet = await read(vault, ref, call)
    assert (len(wallet.methods), wallet.skipped, wallet.truncated) == (103, 0, False)
    assert len({method.method_ref for method in wallet.methods}) == 103
    assert [method.is_provider_default for method in wallet.methods].count(True) == 1


async def test_a_list_that_is_cut_off_says_so(build: Build, case: VaultCase, stripe: LocalStripe, call: Call) -> None:
    ref = CustomerRef(stripe.new_customer(methods=101))
    wallet = await read(build(case, max_methods=100), ref, call)
    assert (len(wallet.methods), wallet.truncated) == (100, True)


async def test_a_method_of_another_customer_is_left_alone(
    vault: VaultProvider, case: VaultCase, stripe: LocalStripe, sandbox: RunningSandbox, call: Call
) -> None:
    other = stripe.new_customer(methods=1)
    theirs = MethodRef(stripe.ask("GET", f"payment_methods?customer={other}&type=card")["data"][0]["id"])
    await vault.delete(case.full_ref, theirs, call)
    with pytest.raises(VaultRejected) as refused:
        await vault.set_default(case.full_ref, theirs, call)
    assert refused.value.reason is RejectReason.METHOD_NOT_FOUND
    assert {row["method"] for row in sandbox.calls(NAME)} == {"GET"}
    assert len(sandbox.held(NAME, other)) == 1


async def test_a_list_of_another_customer_is_not_shown(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    sandbox.fault(NAME, "rewrite", set={"/data/1/customer/id": "cus_Stranger"})
    error = await failure(vault, case.full_ref, call)
    assert isinstance(error, VaultReplyUnreadable)
    assert (error.provider_code, vault.identity_mismatches) == ("IDENTITY_MISMATCH", 1)


async def test_a_method_that_is_there_is_not_attached_again(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    held = (await read(vault, case.full_ref, call)).methods[0].method_ref
    before = await vault.before_add(case.full_ref, by_token(held), call)
    assert before.duplicate_of == held
    sandbox.clear_calls()
    with pytest.raises(VaultRejected):
        await vault.add(case.full_ref, by_token(held), before, False, call)
    assert sandbox.calls(NAME) == []


async def test_a_declined_card_is_declined(
    vault: VaultProvider, case: VaultCase, stripe: LocalStripe, call: Call
) -> None:
    with pytest.raises(VaultRejected) as refused:
        await vault.add(case.full_ref, by_token(stripe.new_method(DECLINED)), NOTHING, False, call)
    assert (refused.value.reason, refused.value.provider_code) == (RejectReason.DECLINED, "card_declined")


def error(kind: str, **more: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": "words", **more}}


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, error("invalid_request_error", code="resource_missing", param="customer"), "CUSTOMER_NOT_FOUND"),
        (404, error("invalid_request_error", code="resource_missing", param="payment_method"), "TOKEN_INVALID"),
        (400, error("invalid_request_error"), "INVALID_INPUT"),
        (402, error("card_error", code="expired_card"), "DECLINED"),
    ],
)
async def test_a_documented_error_is_a_refusal(
    vault: VaultProvider,
    case: VaultCase,
    stripe: LocalStripe,
    sandbox: RunningSandbox,
    call: Call,
    status: int,
    body: dict[str, Any],
    reason: str,
) -> None:
    sandbox.fault(NAME, "rewrite", method="POST", status=status, body=body)
    with pytest.raises(VaultRejected) as refused:
        await vault.add(case.full_ref, by_token(stripe.new_method()), NOTHING, False, call)
    assert refused.value.reason.value == reason


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error("idempotency_error")),
        (409, error("invalid_request_error", code="idempotency_key_in_use")),
        (400, {"message": "Bad Request"}),
        (404, "<html>Not Found</html>"),
        (200, {"object": "payment_method", "id": "pm_1", "customer": None}),
        (202, {"object": "payment_method", "id": "pm_1", "customer": "cus_1"}),
        (200, {}),
    ],
)
async def test_any_other_answer_to_a_write_is_unknown(
    vault: VaultProvider,
    case: VaultCase,
    stripe: LocalStripe,
    sandbox: RunningSandbox,
    call: Call,
    status: int,
    body: Any,
) -> None:
    sandbox.fault(NAME, "rewrite", method="POST", status=status, body=body)
    with pytest.raises(OutcomeUnknown):
        await vault.add(case.full_ref, by_token(stripe.new_method()), NOTHING, False, call)


async def test_an_answer_for_another_is_unknown(
    vault: VaultProvider, case: VaultCase, stripe: LocalStripe, sandbox: RunningSandbox, call: Call
) -> None:
    held = (await read(vault, case.full_ref, call)).methods
    sandbox.fault(NAME, "rewrite", method="POST", set={"/customer": "cus_Stranger"})
    with pytest.raises(OutcomeUnknown):
        await vault.add(case.full_ref, by_token(stripe.new_method()), NOTHING, False, call)
    sandbox.clear_faults()
    sandbox.fault(NAME, "rewrite", method="POST", set={"/invoice_settings/default_payment_method": "pm_Other"})
    with pytest.raises(OutcomeUnknown):
        await vault.set_default(case.full_ref, held[1].method_ref, call)
    sandbox.clear_faults()
    sandbox.fault(NAME, "rewrite", method="POST", set={"/id": "pm_Other"})
    with pytest.raises(OutcomeUnknown):
        await vault.delete(case.full_ref, held[2].method_ref, call)


async def test_a_deleted_customer_does_not_exist(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    sandbox.fault(NAME, "rewrite", body={"id": case.full_ref, "object": "customer", "deleted": True})
    assert await vault.customer_exists(case.full_ref, call) is False


@pytest.mark.parametrize("token", ["tok_visa", "pm_-", "pm_1/../x", "4242424242424242"])
def test_a_token_that_is_no_payment_method_is_a_fault(vault: VaultProvider, token: str) -> None:
    (found,) = vault.faults_of_add(by_token(token))
    assert (found.path, found.code) == (("secret",), "INVALID_INPUT")
    assert token not in found.message


def account_of(ref: str) -> dict[str, Any]:
    """A PaymentMethod as the API reference shows it, with the customer expanded."""
    return {
        "id": "pm_1",
        "object": "payment_method",
        "type": "us_bank_account",
        "customer": {**CUSTOMER, "id": ref},
        "created": 1_700_000_000,
        "billing_details": {"name": "Ada Example", "address": None},
        "us_bank_account": {
            "account_type": "checking",
            "bank_name": "STRIPE TEST BANK",
            "last4": "6789",
            "status_details": {},
        },
    }


async def test_bank_accounts_are_listed_if_the_settings_name_them(
    build: Build, case: VaultCase, proxy: Proxy, sandbox: RunningSandbox, call: Call
) -> None:
    proxy.emulator.bank_accounts.append(account_of(case.full_ref))
    cards = await read(build(case), case.full_ref, call)
    both = await read(build(case, types=["card", "us_bank_account"]), case.full_ref, call)
    assert both.methods[:-1] == cards.methods
    account = both.methods[-1]
    assert (account.kind.value, account.last4, account.status.value) == ("BANK_ACCOUNT", "6789", "ACTIVE")
    assert len(sandbox.calls(NAME)) == 3
    sandbox.fault(NAME, "rewrite", set={"/data": None}, times=1)
    assert isinstance(await failure(build(case, types=["us_bank_account"]), case.full_ref, call), VaultReplyUnreadable)


def test_kinds_that_localstripe_does_not_have() -> None:
    """As the API reference shows them: a blocked bank account, a card from a phone, and a kind that is new to us."""
    common = {
        "object": "payment_method",
        "customer": CUSTOMER,
        "created": 1_700_000_000,
        "billing_details": {
            "name": "Ada Example",
            "address": {"line1": "1 Main St", "state": "TX", "country": "US", "postal_code": None},
        },
    }
    account = account_of("cus_1")["us_bank_account"]
    blocked = {"status_details": {"blocked": {"reason": "bank_account_closed", "network_code": "R02"}}}
    card = {"brand": "amex", "exp_month": 2, "exp_year": 2031, "funding": "debit", "last4": "0005"}
    records: list[Any] = [
        {**common, "id": "pm_1", "type": "us_bank_account", "us_bank_account": {**account, **blocked}},
        {**common, "id": "pm_2", "type": "card", "card": {**card, "wallet": {"type": "apple_pay"}}},
        {**common, "id": "pm_3", "type": "cashapp", "cashapp": {}},
        {**common, "id": "pm_4", "type": "card", "card": card, "customer": "cus_1"},
    ]
    wallet = mapping.to_wallet(CustomerRef("cus_1"), records, truncated=False)
    closed, phone, other = wallet.methods
    assert wallet.skipped == 1  # its customer is not expanded, so that the default is not known
    assert (closed.account_type, closed.bank_name, closed.status, closed.status_detail) == (
        BankAccountType.CHECKING,
        "STRIPE TEST BANK",
        PaymentMethodStatus.SUSPENDED,
        "bank_account_closed",
    )
    assert closed.billing_address == Address(line1="1 Main St", region="TX", country="US")
    assert (phone.wallet, phone.is_provider_default, str(phone.expiry)) == (WalletKind.APPLE_PAY, True, "2031-02")
    assert (other.provider_kind, other.is_provider_default) == ("cashapp", False)
