"""Identity of replies, for every vault: one that names another customer or payment method is never used."""

import logging
from dataclasses import dataclass
from typing import Any

import pytest

from app.errors import OutcomeUnknown, RejectReason, VaultRejected, VaultReplyUnreadable
from app.testing.case import VaultCase
from app.testing.reading import failure, read
from app.vault.enums import CustomerRef, PaymentMethodStatus, ProviderCapability, ProviderName
from app.vault.model import MethodChange, VaultWallet
from app.vault.provider import Call, VaultProvider
from tests.contract.test_jpmorgan_vault import AUTHENTICATED
from tests.support.sandbox import RunningSandbox

OTHER_CUSTOMERS = {
    ProviderName.LOANPRO: 987654,
    ProviderName.ALOHA: "aaaaaaaa-534f-415a-9e28-87be989e461f",
    ProviderName.JPMORGAN: "EGQSGO",
    ProviderName.CASELLE: "cus_stranger",
}


@dataclass(frozen=True)
class Named:
    """Where a reply names its customer, as JSON Pointers."""

    list_at: tuple[str, ...]
    answer_at: str


NAMED = {
    ProviderName.LOANPRO: Named(
        ("/d/results/0/id", "/d/results/0/PaymentAccounts/results/0/entityId"),
        "/d/id",
    ),
    ProviderName.ALOHA: Named(("/0/CustomerId", "/1/CustomerId"), ""),
    ProviderName.JPMORGAN: Named(
        ("/consumerProfileId", "/paymentMethodType/cardList/0/consumerProfileId"), "/consumerProfileId"
    ),
    ProviderName.CASELLE: Named(("/0/customer_uid", "/1/customer", "/0/customer_id"), "/customer_uid"),
}
PLACES = [(name, place) for name, named in NAMED.items() for place in named.list_at]


def log_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]


@pytest.mark.parametrize(("name", "place"), PLACES)
async def test_a_list_that_names_another_customer_is_not_shown(
    vault: VaultProvider,
    case: VaultCase,
    sandbox: RunningSandbox,
    call: Call,
    caplog: pytest.LogCaptureFixture,
    name: ProviderName,
    place: str,
) -> None:
    if name is not case.name:
        pytest.skip("path of another vault")
    await read(vault, case.full_ref, call)  # a cached reply must not replace what is read now
    sandbox.fault(case.name, "rewrite", set={place: OTHER_CUSTOMERS[name]})
    error = await failure(vault, case.full_ref, call)
    assert isinstance(error, VaultReplyUnreadable)
    assert (error.provider_code, vault.identity_mismatches) == ("IDENTITY_MISMATCH", 1)
    [line] = log_of(caplog)
    assert "another customer" in line
    assert str(OTHER_CUSTOMERS[name]) not in line
    assert case.full_ref not in line
    sandbox.clear_faults()
    assert (await read(vault, case.full_ref, call)).methods


def other_spelling(case: VaultCase) -> str:
    return {
        ProviderName.LOANPRO: f" 0{case.full_ref} ",
        ProviderName.ALOHA: "{" + case.full_ref.upper() + "}",
        ProviderName.JPMORGAN: case.full_ref.lower(),
        ProviderName.CASELLE: f" {case.full_ref} ",
    }[case.name]


async def test_a_ref_has_one_canonical_form(vault: VaultProvider, case: VaultCase, call: Call) -> None:
    assert vault.canonical_ref(case.full_ref) == case.full_ref
    canonical = vault.canonical_ref(other_spelling(case))
    assert canonical == case.full_ref
    assert await vault.customer_exists(canonical, call) is True
    for ref in case.malformed_refs:
        assert vault.canonical_ref(vault.canonical_ref(ref)) == vault.canonical_ref(ref)


async def test_another_spelling_of_a_ref_is_the_same_customer(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    spelled = f" {case.full_ref} " if case.name is ProviderName.LOANPRO else other_spelling(case)
    sandbox.fault(case.name, "rewrite", set={NAMED[case.name].list_at[0]: spelled})
    assert (await read(vault, case.full_ref, call)).methods
    assert vault.identity_mismatches == 0


async def test_find_customer_that_returns_another(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    place = "/CustomerId" if case.name is ProviderName.ALOHA else NAMED[case.name].list_at[0]
    sandbox.fault(case.name, "rewrite", set={place: OTHER_CUSTOMERS[case.name]})
    with pytest.raises(VaultReplyUnreadable) as caught:
        await vault.customer_exists(case.full_ref, call)
    assert caught.value.provider_code == "IDENTITY_MISMATCH"
    if vault.capabilities.finds_customers_by_external_id:
        key = "customId" if case.name is ProviderName.LOANPRO else "reference_id"
        sandbox.clear_faults()
        root = "/d/results" if case.name is ProviderName.LOANPRO else ""
        sandbox.fault(case.name, "rewrite", set={f"{root}/0/{key}": "another"})
        with pytest.raises(VaultReplyUnreadable) as caught:
            await vault.find_customer("user-88420", call)
        assert caught.value.provider_code == "IDENTITY_MISMATCH"


async def test_a_list_before_a_write_that_names_another_customer_sends_nothing(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    new = next(iter(case.new_methods.values()))(sandbox)
    place = NAMED[case.name].list_at[-1]
    if case.name is ProviderName.LOANPRO:
        place = "/d/results/0/entityId"
    sandbox.fault(case.name, "rewrite", set={place: OTHER_CUSTOMERS[case.name]})
    with pytest.raises(VaultReplyUnreadable):
        await vault.before_add(case.full_ref, new, call)


async def test_a_customers_own_record_that_names_another(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    if case.name is not ProviderName.CASELLE:
        pytest.skip("only Caselle's default may be in the customer's record")
    sandbox.switch("caselle", "DEFAULT_MARKER", "customer")
    assert (await read(vault, case.full_ref, call)).methods
    sandbox.fault("caselle", "rewrite", set={"/uid": OTHER_CUSTOMERS[case.name]})
    error = await failure(vault, case.full_ref, call)
    assert (error.provider_code, vault.identity_mismatches) == ("IDENTITY_MISMATCH", 1)


async def test_an_add_that_names_another_customer_is_unknown(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    if not NAMED[case.name].answer_at:
        pytest.skip("this vault's reply names no customer")
    new = next(iter(case.new_methods.values()))(sandbox)
    before = await vault.before_add(case.full_ref, new, call)
    sandbox.fault(
        case.name, "rewrite", method=case.write_verb, set={NAMED[case.name].answer_at: OTHER_CUSTOMERS[case.name]}
    )
    with pytest.raises(OutcomeUnknown) as caught:
        await vault.add(case.full_ref, new, before, False, call)
    assert caught.value.provider_code == "IDENTITY_MISMATCH"
    assert len(log_of(caplog)) == 1
    sandbox.clear_faults()
    after = await vault.before_add(case.full_ref, new, call)
    assert len(after.method_refs - before.method_refs) == 1


async def test_a_default_or_change_that_names_another_is_unknown(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    if ProviderCapability.SET_DEFAULT not in vault.capabilities.operations:
        pytest.skip("this vault has no default")
    wallet = await read(vault, case.full_ref, call)
    active = [one for one in wallet.methods if one.status is PaymentMethodStatus.ACTIVE]
    other = next(one for one in active if not one.is_provider_default)
    answers: list[tuple[str, Any]] = {
        ProviderName.LOANPRO: [("/d/id", OTHER_CUSTOMERS[case.name])],
        ProviderName.JPMORGAN: [
            ("/consumerProfileId", OTHER_CUSTOMERS[case.name]),
            ("/paymentMethodType/defaultMOP/*/paymentMethodId", "b" * 8),
        ],
        ProviderName.CASELLE: [
            ("/uid", OTHER_CUSTOMERS[case.name]),
            ("/default_saved_payment_method_uid", "spm_other"),
        ],
    }[case.name]
    for place, value in answers:
        for verb in ("PUT", "PATCH"):
            sandbox.fault(case.name, "rewrite", method=verb, set={place: value})
        with pytest.raises(OutcomeUnknown) as caught:
            await vault.set_default(case.full_ref, other.method_ref, call)
        assert caught.value.provider_code == "IDENTITY_MISMATCH"
        sandbox.clear_faults()
        first = next(one for one in wallet.methods if one.is_provider_default)
        await vault.set_default(case.full_ref, first.method_ref, call)


async def test_an_update_whose_answer_lacks_the_method_is_unknown(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    if case.name is not ProviderName.JPMORGAN:
        pytest.skip("only J.P. Morgan answers an update with its methods")
    method = (await read(vault, case.full_ref, call)).methods[0]
    sandbox.fault(
        case.name, "rewrite", method="PATCH", set={"/paymentMethodType/cardList/*/paymentMethodId": "another"}
    )
    with pytest.raises(OutcomeUnknown):
        await vault.update(method, MethodChange(active=True), call)


async def test_a_3d_secure_status_of_another_is_not_used(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    if ProviderCapability.THREE_D_SECURE not in vault.capabilities.operations:
        pytest.skip("this vault has no 3-D Secure")
    for place, value in (("/consumerProfileId", "EGQSGO"), ("/paymentMethodId", "another")):
        sandbox.fault(case.name, "rewrite", set={place: value})
        with pytest.raises(VaultReplyUnreadable) as caught:
            await vault.three_d_secure(case.full_ref, AUTHENTICATED, call)
        assert caught.value.provider_code == "IDENTITY_MISMATCH"
        sandbox.clear_faults()
    assert await vault.three_d_secure(case.full_ref, AUTHENTICATED, call) is not None


async def test_a_batch_is_matched_by_id_and_not_by_position(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    if vault.capabilities.batch_limit == 1:
        pytest.skip("this vault reads one customer a call")
    first, second, third = (CustomerRef(ref) for ref in case.many_refs[:3])
    sandbox.fault(
        case.name, "rewrite", set={"/d/results/0/id": int(second), "/d/results/1/id": int(first)}
    )  # swaps the ids of two customers, but not their data
    found = await vault.wallets([first, second, third], call)
    assert isinstance(found[third], VaultWallet)
    assert [getattr(found[ref], "provider_code", None) for ref in (first, second)] == ["IDENTITY_MISMATCH"] * 2


async def test_the_same_method_twice_is_one_method(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    before = await read(vault, case.full_ref, call)
    places = {
        ProviderName.LOANPRO: "/d/results/0/PaymentAccounts/results/1/id",
        ProviderName.ALOHA: "/1/AccountId",
        ProviderName.JPMORGAN: "/paymentMethodType/cardList/1/paymentMethodId",
        ProviderName.CASELLE: "/1/saved_payment_method_uid",
    }
    first = before.methods[0].method_ref
    ref = first.upper() if case.name is ProviderName.ALOHA else first
    sandbox.fault(case.name, "rewrite", set={places[case.name]: ref})
    after = await read(vault, case.full_ref, call)
    refs = [one.method_ref for one in after.methods]
    assert len(refs) == len(set(refs)) == len(before.methods) - 1
    assert (after.skipped, after.truncated) == (0, False)
    assert after.methods[0] == before.methods[0]


async def test_a_customer_that_the_vault_does_not_know(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    ours: dict[ProviderName, dict[str, Any]] = {
        ProviderName.LOANPRO: {"body": {"d": {"results": [], "summary": {"start": 0, "pageSize": 50, "total": 0}}}},
        ProviderName.ALOHA: {"status": 404, "body": {"Message": "NotFound"}},
        ProviderName.JPMORGAN: {
            "status": 404,
            "body": {
                "responseStatus": "ERROR",
                "responseCode": "PROFILE_NOT_FOUND",
                "responseMessage": "Consumer profile not found",
            },
        },
        ProviderName.CASELLE: {"status": 404, "body": {"error": {"code": "not_found", "message": "No such customer"}}},
    }
    sandbox.fault(case.name, "rewrite", **ours[case.name])
    error = await failure(vault, case.full_ref, call)
    assert isinstance(error, VaultRejected)
    assert error.reason is RejectReason.CUSTOMER_NOT_FOUND
    assert await vault.customer_exists(case.full_ref, call) is False


async def test_a_conflict_says_that_one_customer_is_unknown_and_of_several_nothing(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    if case.name is not ProviderName.LOANPRO:
        pytest.skip("only LoanPro replies 409 for unknown records")
    error = {"message": {"lang": "en-US", "value": "Customer not found"}, "type": "EntityException", "code": 409}
    sandbox.fault(case.name, "rewrite", status=409, body={"error": error})
    found = await failure(vault, case.full_ref, call)
    assert isinstance(found, VaultRejected)
    assert found.reason is RejectReason.CUSTOMER_NOT_FOUND
    assert await vault.customer_exists(case.full_ref, call) is False
    with pytest.raises(VaultReplyUnreadable):
        await vault.wallets(case.many_refs[:3], call)


@pytest.mark.parametrize("body", [{"d": None}, {"d": {}}, {"d": {"results": None}}, {"d": "none"}, {}])
async def test_a_reply_without_a_list_is_not_an_empty_list(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call, body: Any
) -> None:
    if case.name is not ProviderName.LOANPRO:
        pytest.skip("only LoanPro reports an unknown customer by a list without it")
    sandbox.fault(case.name, "rewrite", body=body)
    assert isinstance(await failure(vault, case.full_ref, call), VaultReplyUnreadable)
