"""Payments, hosted sessions, tokenization and import against the stateful emulator over real HTTP."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from app.errors import InvalidRequest, OutcomeUnknown, RejectReason, VaultRefusedUs, VaultRejected, VaultReplyUnreadable
from app.providers.caselle.client import CaselleVault
from app.providers.registry import open_provider
from app.sandbox.demo import ALEX
from app.vault.enums import CardBrand, CustomerRef, MethodRef, NextActionKind, PaymentMethodKind, ProviderName
from app.vault.model import BeforeAdd, Expiry
from app.vault.payments import ImportedCard, ImportState, NewPayment, NewSession, PaymentState
from app.vault.secret import Secret
from tests.contract.case_caselle import new_card
from tests.support.calls import paths, settings_on, soon
from tests.support.sandbox import RunningSandbox

ALEX_REF = CustomerRef(ALEX.refs["caselle"])
BY_CARD = NewPayment(
    method_ref=MethodRef("spm_alexvisa"),
    method_kind=PaymentMethodKind.CARD,
    amount=12345,
    tax=100,
    currency="USD",
    reference="inv-2026-0611",
)
BY_ACCOUNT = replace(BY_CARD, method_ref=MethodRef("spm_alexach"), method_kind=PaymentMethodKind.BANK_ACCOUNT)
SESSION = NewSession(
    customer_ref=ALEX_REF,
    amount=14227,
    currency="USD",
    return_url="https://shop.example/receipt?session_id={CHECKOUT_SESSION_ID}",
    cancel_url="https://shop.example/billing",
    save=True,
    embedded=True,
)


@pytest.fixture
async def vault(sandbox: RunningSandbox) -> AsyncIterator[CaselleVault]:
    opened = open_provider(ProviderName.CASELLE, settings_on(sandbox))
    yield opened
    await opened.close()


# ---- paying -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", [BY_CARD, BY_ACCOUNT], ids=["card", "account"])
async def test_quote_then_capture_once(vault: CaselleVault, sandbox: RunningSandbox, new: NewPayment) -> None:
    quote = await vault.quote(new, soon())
    assert quote.fee > 0
    assert quote.total == new.amount + new.tax + quote.fee
    captured = await vault.capture(quote, soon())
    assert (captured.payment_ref, captured.state) == (quote.payment_ref, PaymentState.CAPTURED)
    with pytest.raises(OutcomeUnknown):  # a conflict may mean that it was captured, so it is not a refusal
        await vault.capture(quote, soon())
    assert paths(sandbox, "caselle") == [
        "POST /api/payments",
        *[f"POST /api/payments/{quote.payment_ref}/capture"] * 2,
    ]


async def test_an_answer_that_names_another_method_is_not_used(vault: CaselleVault, sandbox: RunningSandbox) -> None:
    other = {"/payment_method/wallet": {"saved_payment_method_uid": "spm_stranger"}}
    sandbox.fault("caselle", "rewrite", path="/api/payments", times=1, set=other)
    with pytest.raises(VaultReplyUnreadable):
        await vault.quote(BY_CARD, soon())
    quote = await vault.quote(BY_CARD, soon())
    sandbox.fault("caselle", "rewrite", path="/api/payments", times=1, set=other)
    with pytest.raises(OutcomeUnknown):
        await vault.capture(quote, soon())
    assert vault.identity_mismatches == 2


async def test_a_capture_that_differs_from_its_quote(vault: CaselleVault) -> None:
    quote = await vault.quote(BY_CARD, soon())
    with pytest.raises(OutcomeUnknown):
        await vault.capture(replace(quote, total=quote.total - 1), soon())


async def test_a_decline_is_an_answer(vault: CaselleVault, sandbox: RunningSandbox) -> None:
    token = sandbox.token("caselle", "card", number="4000000000000002", exp_month=7, exp_year=2031, holder_name="Ada")
    new = new_card(sandbox, secret=Secret(token["token"]), last4="0002", bin="400000")
    added = await vault.add(ALEX_REF, new, BeforeAdd(method_refs=frozenset()), False, soon())
    quote = await vault.quote(replace(BY_CARD, method_ref=added.method_ref), soon())
    captured = await vault.capture(quote, soon())
    assert (captured.state, captured.decline_code) == (PaymentState.DECLINED, "payment_declined")


async def test_quotes_that_are_refused(vault: CaselleVault, sandbox: RunningSandbox) -> None:
    wrong_kind = replace(BY_CARD, method_kind=PaymentMethodKind.BANK_ACCOUNT)
    unknown = replace(BY_CARD, method_ref=MethodRef("spm_nothing"))
    for new, reason in ((wrong_kind, RejectReason.INVALID_INPUT), (unknown, RejectReason.METHOD_NOT_FOUND)):
        with pytest.raises(VaultRejected) as caught:
            await vault.quote(new, soon())
        assert caught.value.reason is reason
    sandbox.clear_calls()
    with pytest.raises(InvalidRequest):
        await vault.quote(replace(BY_CARD, amount=0), soon())
    with pytest.raises(VaultRejected):
        await vault.quote(replace(BY_CARD, method_ref=MethodRef("a/b")), soon())
    assert sandbox.calls("caselle") == []


@pytest.mark.parametrize("kind", ["drop_after", "garbage", "truncate"])
async def test_a_lost_capture_is_unknown_and_not_retried(
    vault: CaselleVault, sandbox: RunningSandbox, kind: str
) -> None:
    quote = await vault.quote(BY_CARD, soon())
    sandbox.fault("caselle", kind, method="POST", path=f"/api/payments/{quote.payment_ref}", times=1)
    with pytest.raises(OutcomeUnknown):
        await vault.capture(quote, soon())
    assert len([path for path in paths(sandbox, "caselle") if path.endswith("/capture")]) == 1


# ---- in the browser ---------------------------------------------------------------------------------------


async def test_a_hosted_session(vault: CaselleVault, sandbox: RunningSandbox) -> None:
    found = await vault.create_session(SESSION, soon())
    action = found.next_action
    assert action.kind is NextActionKind.EMBED
    assert action.url == f"{sandbox.url}/caselle/checkout/{found.session_ref}"
    assert action.client_token is not None
    assert action.expires_at is not None
    page = sandbox.request("GET", f"/caselle/checkout/{found.session_ref}")
    assert page.status == 200
    assert b"VISA 4242" in page.body


async def test_a_session_for_an_unknown_customer(vault: CaselleVault, sandbox: RunningSandbox) -> None:
    with pytest.raises(VaultRejected) as caught:
        await vault.create_session(replace(SESSION, customer_ref=CustomerRef("cus_nobody")), soon())
    assert caught.value.reason is RejectReason.CUSTOMER_NOT_FOUND
    sandbox.clear_calls()
    with pytest.raises(InvalidRequest):
        await vault.create_session(replace(SESSION, amount=None), soon())
    assert sandbox.calls("caselle") == []


async def test_tokenization_configuration(vault: CaselleVault) -> None:
    found = await vault.tokenization(ALEX_REF, soon())
    assert found.client_config is not None
    assert found.client_config["processor"] == "zift"
    assert set(found.client_config["config"]) == {"account_id", "api_key", "temporary_password", "expiration_date"}


async def test_no_configuration_for_an_unknown_account(sandbox: RunningSandbox) -> None:
    opened = open_provider(ProviderName.CASELLE, settings_on(sandbox, caselle={"payment_account_uid": "pa_nobody"}))
    try:
        with pytest.raises(VaultRefusedUs):
            await opened.tokenization(None, soon())
    finally:
        await opened.close()


# ---- import -----------------------------------------------------------------------------------------------


async def test_each_row_has_its_own_outcome(vault: CaselleVault, sandbox: RunningSandbox) -> None:
    row = ImportedCard(
        customer_ref=ALEX_REF,
        secret=Secret("zift-tok-1"),
        last4="1111",
        expiry=Expiry(2031, 1),
        brand=CardBrand.VISA,
        holder_name="Alex Morales",
    )
    rows = [row, replace(row, customer_ref=CustomerRef("cus_nobody")), row]
    found = await vault.import_methods(rows, soon())
    assert [one.state for one in found] == [ImportState.IMPORTED, ImportState.REJECTED, ImportState.IMPORTED]
    assert found[1].reason is RejectReason.CUSTOMER_NOT_FOUND
    assert found[0].method_ref == found[2].method_ref
    assert found[0].method_ref in {held["ref"] for held in sandbox.held("caselle", ALEX_REF)}
    assert paths(sandbox, "caselle") == ["POST /api/saved-payment-methods/import"]
    assert await vault.import_methods([], soon()) == []
    with pytest.raises(InvalidRequest):
        await vault.import_methods([replace(row, last4="1")], soon())
    assert len(paths(sandbox, "caselle")) == 1


async def test_a_lost_import_is_unknown(vault: CaselleVault, sandbox: RunningSandbox) -> None:
    row = ImportedCard(
        customer_ref=ALEX_REF,
        secret=Secret("zift-tok-2"),
        last4="1111",
        expiry=Expiry(2031, 1),
        brand=CardBrand.VISA,
        holder_name="Alex Morales",
    )
    sandbox.fault("caselle", "drop_after", method="POST", path="/api/saved-payment-methods", times=1)
    with pytest.raises(OutcomeUnknown):
        await vault.import_methods([row], soon())
