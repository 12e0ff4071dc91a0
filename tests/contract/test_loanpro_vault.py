"""LoanPro only: list PUTs in order, replies without ids, silently dropped data, deferred links."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from app.errors import OutcomeUnknown, RejectReason, VaultRejected, VaultReplyUnreadable
from app.http.message import VaultRequest
from app.providers.loanpro.client import LoanProVault
from app.testing.fixtures import Build
from app.testing.reading import read
from app.testing.writing import active, defaults
from app.vault.enums import CardBrand, CustomerRef, MethodRef, PaymentMethodStatus
from app.vault.model import BankAccount, Card, MethodChange, VaultWallet
from app.vault.provider import Call
from tests.contract.case_loanpro import LOANPRO, new_bank, new_card, new_customer
from tests.contract.recording import bent
from tests.support.sandbox import RunningSandbox

ALEX = CustomerRef("37")
VISA, BANK, OLD = MethodRef("301"), MethodRef("302"), MethodRef("303")


@pytest.fixture
def loanpro(build: Build) -> LoanProVault:
    vault = build(LOANPRO)
    assert isinstance(vault, LoanProVault)
    return vault


# ---- reading ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("switch", "value"), [("FLAGS", "strings"), ("TOKEN_ECHO", "decoded"), ("TOKEN_ECHO", "none")])
async def test_a_wallet_reads_the_same_in_every_encoding(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call, switch: str, value: str
) -> None:
    plain = await read(loanpro, ALEX, call)
    sandbox.switch("loanpro", switch, value)
    assert await read(loanpro, ALEX, call) == plain


async def test_cards_without_details_are_still_there(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call
) -> None:
    sandbox.switch("loanpro", "CARD_DETAILS", "none")
    card = next(method for method in (await read(loanpro, ALEX, call)).methods if method.method_ref == VISA)
    assert isinstance(card, Card)
    assert (card.last4, card.expiry, card.brand, card.is_provider_default) == (None, None, CardBrand.UNKNOWN, True)


def without(*parts: str) -> Any:
    """Remove parts of `$expand`, like a vault that does not support them."""

    def bend(request: VaultRequest) -> VaultRequest:
        if request.path != "odata.svc/Customers()":
            return request
        query = []
        for name, value in request.query:
            if name == "$expand":
                value = ",".join(part for part in value.split(",") if part not in parts)
                if not value:
                    continue
            query.append((name, value))
        return structs.replace(request, query=tuple(query))

    return bend


@pytest.mark.parametrize(
    "parts",
    [
        ("PaymentAccounts/CheckingAccount", "PaymentAccounts/CreditCard"),
        ("PaymentAccounts", "PaymentAccounts/CheckingAccount", "PaymentAccounts/CreditCard"),
    ],
)
async def test_deferred_children_are_read_in_one_more_call(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call, parts: tuple[str, ...]
) -> None:
    plain = await loanpro.wallets([ALEX, CustomerRef("38")], call)
    bent(loanpro, without(*parts))
    sandbox.clear_calls()
    assert await loanpro.wallets([ALEX, CustomerRef("38")], call) == plain
    assert sorted(row["path"].rpartition("odata.svc/")[2] for row in sandbox.calls("loanpro")) == [
        "Customers()",
        "Customers(37)/PaymentAccounts",
        "Customers(38)/PaymentAccounts",
    ]


async def test_one_unexpandable_customer_affects_only_itself(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call
) -> None:
    bent(loanpro, without("PaymentAccounts", "PaymentAccounts/CheckingAccount", "PaymentAccounts/CreditCard"))
    path = "/api/public/api/1/odata.svc/Customers(38)/PaymentAccounts"
    sandbox.fault("loanpro", "status", path=path, status=418)
    found = await loanpro.wallets([ALEX, CustomerRef("38")], call)
    assert not isinstance(found[ALEX], Exception)
    assert isinstance(found[CustomerRef("38")], VaultReplyUnreadable)


async def test_an_unparseable_reply_is_read_again_once(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call
) -> None:
    sandbox.fault("loanpro", "garbage", times=1)
    assert (await read(loanpro, ALEX, call)).methods
    assert len(sandbox.calls("loanpro")) == 2


async def test_filter_values_are_escaped(loanpro: LoanProVault, call: Call) -> None:
    assert await loanpro.find_customer("x' or id gt 0 or customId eq '", call) is None
    assert await loanpro.find_customer("user-88420", call) == ALEX
    assert await loanpro.find_customer("", call) is None


async def test_two_customers_with_one_key_are_ambiguous(loanpro: LoanProVault, call: Call) -> None:
    first, second = new_customer(71), replace(new_customer(72), external_id="contract-71")
    await loanpro.create_customer(first, call)
    await loanpro.create_customer(second, call)
    with pytest.raises(VaultReplyUnreadable) as refused:
        await loanpro.find_customer("contract-71", call)
    assert refused.value.provider_code == "SEVERAL_CUSTOMERS"


# ---- adding -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["deferred", "expanded_newest_last", "expanded_newest_first"])
@pytest.mark.parametrize("make", [new_card, new_bank])
async def test_the_new_id_is_found_in_every_reply_shape(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call, answer: str, make: Any
) -> None:
    sandbox.switch("loanpro", "LINK_RESPONSE", answer)
    new = make(sandbox)
    before = await loanpro.before_add(ALEX, new, call)
    sandbox.clear_calls()
    added = await loanpro.add(ALEX, new, before, False, call)
    methods = {method.method_ref: method for method in (await read(loanpro, ALEX, call)).methods}
    assert set(methods) - before.method_refs == {added.method_ref}
    assert methods[added.method_ref].last4 == ("1881" if make is new_card else "0077")
    assert isinstance(methods[added.method_ref], Card if make is new_card else BankAccount)
    reads = [row for row in sandbox.calls("loanpro") if row["path"].endswith("/PaymentAccounts")]
    assert len(reads) == (1 if answer == "deferred" else 0)


async def test_the_new_default_is_made_in_the_same_put_after_the_demotion(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call
) -> None:
    new = new_card(sandbox)
    client = bent(loanpro)
    before = await loanpro.before_add(ALEX, new, call)
    added = await loanpro.add(ALEX, new, before, True, call)
    [elements] = client.put_elements()
    assert elements[0] == {"id": 301, "__id": 301, "__update": True, "isPrimary": 0}
    assert (len(elements), elements[1]["isPrimary"], "__id" in elements[1]) == (2, 1, False)
    assert await defaults(loanpro, ALEX, call) == [added.method_ref]


async def test_a_new_secondary_takes_the_flag_from_the_old_one(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call
) -> None:
    await bank_as_secondary(loanpro, call)
    new = new_card(sandbox, is_secondary=True)
    before = await loanpro.before_add(ALEX, new, call)
    added = await loanpro.add(ALEX, new, before, True, call)
    methods = (await read(loanpro, ALEX, call)).methods
    assert [method.method_ref for method in methods if method.is_secondary] == [added.method_ref]
    assert [method.method_ref for method in methods if method.is_provider_default] == [added.method_ref]


async def test_a_token_is_recognised_in_every_echo_form(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call
) -> None:
    new = new_card(sandbox)
    before = await loanpro.before_add(ALEX, new, call)
    added = await loanpro.add(ALEX, new, before, False, call)
    for echo, seen in (("encoded", added.method_ref), ("decoded", added.method_ref), ("none", None)):
        sandbox.switch("loanpro", "TOKEN_ECHO", echo)
        assert (await loanpro.before_add(ALEX, new, call)).duplicate_of == seen
    sandbox.switch("loanpro", "TOKEN_ECHO", "encoded")
    await loanpro.delete(ALEX, added.method_ref, call)
    assert (await loanpro.before_add(ALEX, new, call)).duplicate_of is None


async def test_the_same_token_twice_gives_two_profiles_where_allowed(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call
) -> None:
    new = new_card(sandbox)
    first = await loanpro.add(ALEX, new, await loanpro.before_add(ALEX, new, call), False, call)
    second = await loanpro.add(ALEX, new, await loanpro.before_add(ALEX, new, call), False, call)
    assert first.method_ref != second.method_ref
    sandbox.switch("loanpro", "ALLOW_DUPLICATE_TOKEN", "0")
    before = await loanpro.before_add(ALEX, new, call)
    with pytest.raises(VaultRejected) as refused:
        await loanpro.add(ALEX, new, before, False, call)
    assert refused.value.reason is RejectReason.TOKEN_INVALID
    assert [fault.path for fault in refused.value.faults] == [("secret",)]


async def test_a_silently_dropped_profile_is_refused(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call
) -> None:
    def as_bare_array(request: VaultRequest) -> VaultRequest:
        if request.method != "PUT":
            return request
        return structs.replace(request, json={"PaymentAccounts": request.json["PaymentAccounts"]["results"]})

    bent(loanpro, as_bare_array)
    new = new_card(sandbox)
    before = await loanpro.before_add(ALEX, new, call)
    with pytest.raises(VaultRejected) as refused:
        await loanpro.add(ALEX, new, before, False, call)
    assert (refused.value.reason, refused.value.provider_code) == (RejectReason.CONTRACT, "NOT_STORED")
    with pytest.raises(VaultRejected) as dropped:
        await loanpro.add_all(ALEX, [new, new_bank(sandbox)], before, None, call)
    assert (dropped.value.reason, dropped.value.provider_code) == (RejectReason.CONTRACT, "NOT_STORED")


@pytest.mark.parametrize("answer", ["deferred", "expanded_newest_last", "expanded_newest_first"])
@pytest.mark.parametrize("echo", ["encoded", "none"])
async def test_several_links_are_told_apart_whatever_the_reply_shows(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call, answer: str, echo: str
) -> None:
    sandbox.switch("loanpro", "LINK_RESPONSE", answer)
    sandbox.switch("loanpro", "TOKEN_ECHO", echo)
    news = [new_bank(sandbox), new_card(sandbox), new_card(sandbox, title="Second")]
    (before, *_) = await loanpro.before_add_all(ALEX, news, call)
    added = [one.method_ref for one in await loanpro.add_all(ALEX, news, before, 1, call)]
    found = {one.method_ref: one for one in (await loanpro.wallet(ALEX, call)).methods}
    assert [found[ref].title for ref in added] == ["Savings Account", "Credit Card", "Second"]
    assert [ref for ref, one in found.items() if one.is_provider_default] == [added[1]]


async def test_a_link_that_cannot_be_read_back_is_unknown(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call
) -> None:
    sandbox.switch("loanpro", "LINK_RESPONSE", "deferred")
    new = new_card(sandbox)
    before = await loanpro.before_add(ALEX, new, call)
    sandbox.fault("loanpro", "status", method="GET", status=418)
    with pytest.raises(OutcomeUnknown):
        await loanpro.add(ALEX, new, before, False, call)
    sandbox.clear_faults()
    assert len((await loanpro.before_add(ALEX, new, call)).method_refs - before.method_refs) == 1


async def test_a_token_that_was_never_minted_is_refused_by_field(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call
) -> None:
    bank_token = new_bank(sandbox).secret
    new = new_card(sandbox, secret=bank_token)
    before = await loanpro.before_add(ALEX, new, call)
    with pytest.raises(VaultRejected) as refused:
        await loanpro.add(ALEX, new, before, False, call)
    assert (refused.value.reason, refused.value.provider_code) == (RejectReason.TOKEN_INVALID, "EntityException")


async def bank_as_secondary(vault: LoanProVault, call: Call) -> None:
    bank = next(method for method in (await read(vault, ALEX, call)).methods if method.method_ref == BANK)
    await vault.update(bank, MethodChange(is_secondary=True), call)


# ---- flags ------------------------------------------------------------------------------------------------


async def test_the_primary_moves_in_one_put_and_only_when_it_must(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call
) -> None:
    await bank_as_secondary(loanpro, call)
    client = bent(loanpro)
    await loanpro.set_default(ALEX, BANK, call)
    await loanpro.set_default(ALEX, BANK, call)
    assert client.put_elements() == [
        [
            {"id": 301, "__id": 301, "__update": True, "isPrimary": 0},
            {"id": 302, "__id": 302, "__update": True, "isPrimary": 1},
        ]
    ]
    bank = next(method for method in (await read(loanpro, ALEX, call)).methods if method.method_ref == BANK)
    assert (bank.is_provider_default, bank.is_secondary) == (True, True)


async def test_an_inactive_profile_cannot_be_the_default(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call
) -> None:
    with pytest.raises(VaultRejected) as refused:
        await loanpro.set_default(ALEX, OLD, call)
    assert refused.value.reason is RejectReason.CONFLICT
    assert "PUT" not in {row["method"] for row in sandbox.calls("loanpro")}


async def test_deactivating_clears_both_flags_and_can_be_undone(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call
) -> None:
    await bank_as_secondary(loanpro, call)
    client = bent(loanpro)
    await loanpro.delete(ALEX, BANK, call)
    await loanpro.delete(ALEX, BANK, call)
    assert client.put_elements() == [
        [{"id": 302, "__id": 302, "__update": True, "active": 0, "isPrimary": 0, "isSecondary": 0}]
    ]
    bank = next(method for method in (await read(loanpro, ALEX, call)).methods if method.method_ref == BANK)
    assert (bank.status, bank.is_secondary) == (PaymentMethodStatus.INACTIVE, False)
    await loanpro.update(bank, MethodChange(active=True), call)
    assert {method.method_ref for method in await active(loanpro, ALEX, call)} == {VISA, BANK}


async def test_the_flag_of_the_old_secondary_goes_first(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call
) -> None:
    await bank_as_secondary(loanpro, call)
    client = bent(loanpro)
    visa = next(method for method in (await read(loanpro, ALEX, call)).methods if method.method_ref == VISA)
    await loanpro.update(visa, MethodChange(is_secondary=True, title="Both"), call)
    assert client.put_elements() == [
        [
            {"id": 302, "__id": 302, "__update": True, "isSecondary": 0},
            {"id": 301, "__id": 301, "__update": True, "isSecondary": 1, "title": "Both"},
        ]
    ]


# ---- customers --------------------------------------------------------------------------------------------


async def test_a_customer_that_looks_like_another_is_a_duplicate(loanpro: LoanProVault, call: Call) -> None:
    with pytest.raises(VaultRejected) as refused:
        await loanpro.create_customer(replace(new_customer(5), email="alex@example.com"), call)
    assert (refused.value.reason, refused.value.provider_code) == (
        RejectReason.DUPLICATE_CUSTOMER,
        "TransactionWarningException",
    )
    assert "Alex" not in str(refused.value)


async def test_unchanged_customers_of_a_batch_are_mapped_once(loanpro: LoanProVault, call: Call) -> None:
    refs = LOANPRO.many_refs[:4]
    first = await loanpro.wallets(refs, call)
    again = await loanpro.wallets(list(reversed(refs)), call)  # different bytes as a whole, equal bytes per customer
    for ref in refs:
        one, other = first[ref], again[ref]
        assert isinstance(one, VaultWallet)
        assert isinstance(other, VaultWallet)
        assert one.methods
        assert other.methods is one.methods


async def test_a_changed_customer_of_a_batch_is_mapped_again(
    loanpro: LoanProVault, sandbox: RunningSandbox, call: Call
) -> None:
    refs = [ALEX, *LOANPRO.many_refs[:2]]
    first = await loanpro.wallets(refs, call)
    new = new_card(sandbox)
    await loanpro.add(ALEX, new, await loanpro.before_add(ALEX, new, call), False, call)
    again = await loanpro.wallets(refs, call)
    counts = []
    for found in (first, again):
        wallet = found[ALEX]
        assert isinstance(wallet, VaultWallet)
        counts.append(len(wallet.methods))
    assert counts[1] == counts[0] + 1
