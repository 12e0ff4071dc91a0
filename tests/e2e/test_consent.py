"""Consents to storing a method, and who initiates a payment: recorded, shown, exported and erased."""

from typing import Any
from uuid import uuid4

import pytest

from app.sandbox.demo import ALEX
from app.store.records import MethodAddress
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from tests.support.adding import caselle_card, loanpro_card, new_key
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, each_vault
from tests.support.mutating import codes
from tests.support.paying import methods, quote
from tests.support.sandbox import RunningSandbox

FIELDS = "consent { agreedBy agreedAt channel textSha256 textVersion }"
ADD = f"""mutation ($input: AddPaymentMethodInput!) {{ addPaymentMethod(input: $input) {{
  userErrors {{ code path }} paymentMethod {{ id {FIELDS} }} }} }}"""
ADD_SEVERAL = f"""mutation ($input: AddPaymentMethodsInput!) {{ addPaymentMethods(input: $input) {{
  userErrors {{ code path }} items {{ paymentMethod {{ id {FIELDS} }} }} }} }}"""
READ = f'{{ customer(id: "cus_alex") {{ paymentMethods {{ id {FIELDS} }} }} }}'
# A digest may hold what looks like a card number.
DIGEST = "4111111111111111" + "0a" * 24
CONSENT = {
    "agreedBy": "user-88420",
    "agreedAt": "2026-11-30T09:30:00+01:00",
    "channel": "WEB",
    "textSha256": DIGEST,
    "textVersion": "terms-7",
}
SHOWN = {**CONSENT, "agreedAt": "2026-11-30T08:30:00Z"}
QUOTE = """mutation ($input: QuotePaymentInput!) { quotePayment(input: $input) {
  payment { initiator merchantReason } userErrors { code path } } }"""


@pytest.fixture
def gateway(start_gateway: StartGateway, sandbox: RunningSandbox) -> RunningGateway:
    return start_gateway(**each_vault(fresh_for_s=60))


def add(gateway: RunningGateway, consent: Any, key: str | None = None, **more: Any) -> Any:
    given = {"customerId": "cus_alex", "idempotencyKey": key or new_key(), "consent": consent, **more}
    return gateway.data(ADD, input=given)["addPaymentMethod"]


def consents(gateway: RunningGateway) -> dict[str, Any]:
    found = gateway.data(READ)["customer"]["paymentMethods"]
    return {one["id"]: one["consent"] for one in found if one["consent"] is not None}


def test_a_consent_is_stored_with_the_method_and_erased_with_the_customer(
    gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    way, key = caselle_card(sandbox), new_key()
    done = add(gateway, CONSENT, key, method=way)
    assert (done["userErrors"], done["paymentMethod"]["consent"]) == ([], SHOWN)
    assert codes(add(gateway, {**CONSENT, "channel": "PHONE"}, key, method=way)) == ["IDEMPOTENCY_KEY_REUSED"]
    items = [
        {"method": loanpro_card(sandbox), "consent": {**CONSENT, "channel": "IN_PERSON"}},
        {"method": loanpro_card(sandbox)},
    ]
    given = {"customerId": "cus_alex", "idempotencyKey": new_key(), "items": items}
    several = gateway.data(ADD_SEVERAL, input=given)["addPaymentMethods"]
    assert several["userErrors"] == []
    first = several["items"][0]["paymentMethod"]
    assert consents(gateway) == {
        done["paymentMethod"]["id"]: SHOWN,
        first["id"]: {**SHOWN, "channel": "IN_PERSON"},
    }
    export = """mutation ($input: ExportCustomerInput!) { exportCustomer(input: $input) { export { document } } }"""
    document = gateway.data(export, input={"customerId": "cus_alex"})["exportCustomer"]["export"]["document"]
    assert [(one["paymentMethodId"], one["agreedBy"]) for one in document["consents"]] == [
        (done["paymentMethod"]["id"], "user-88420"),
        (first["id"], "user-88420"),
    ]
    store = gateway.gateway.store
    gateway.on_loop(store.erase("cus_alex"))
    assert gateway.on_loop(store.consents.of_customer("cus_alex")) == []


def test_a_consent_follows_a_replaced_method_and_outlives_its_link(
    gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    added = add(gateway, CONSENT, method=caselle_card(sandbox))["paymentMethod"]["id"]
    store, at = gateway.gateway.store, gateway.on_loop
    (stored,) = at(store.consents.of_customer("cus_alex"))
    assert gateway.gateway.ids.encode_address(stored.method) == added
    replaced = MethodAddress(ProviderName("caselle"), CustomerRef(ALEX.refs["caselle"]), MethodRef("spm_replacement"))
    at(store.directory.move_choice("cus_alex", stored.method, replaced))
    at(store.directory.unlink("cus_alex", replaced.provider))
    (kept,) = at(store.consents.of_customer("cus_alex"))
    assert (kept.method, kept.consent, kept.recorded_by) == (replaced, stored.consent, stored.recorded_by)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"textSha256": "A" * 64}, "textSha256"),
        ({"textSha256": "ab"}, "textSha256"),
        ({"agreedAt": "2099-01-01T00:00:00Z"}, "agreedAt"),
        ({"agreedBy": "4111 1111 1111 1111"}, "agreedBy"),
        ({"agreedBy": " "}, "agreedBy"),
    ],
)
def test_an_invalid_consent_is_refused_before_any_call(
    gateway: RunningGateway, sandbox: RunningSandbox, wrong: dict[str, str], field: str
) -> None:
    way = caselle_card(sandbox)
    sandbox.clear_calls()
    refused = add(gateway, {**CONSENT, **wrong}, method=way)
    assert [one["path"] for one in refused["userErrors"]] == [["input", "consent", field]]
    assert sandbox.calls() == []


def test_reading_a_consent_needs_the_scope_of_personal_data(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    added = add(gateway, CONSENT, method=caselle_card(sandbox))["paymentMethod"]["id"]
    query = f"query ($id: ID!) {{ paymentMethod(id: $id) {{ id {FIELDS} }} }}"
    gateway.headers["authorization"] = f"Bearer {gateway.token(['payment_methods:read'])}"
    reply = gateway.query(query, {"id": added})
    assert (reply.data["paymentMethod"], reply.codes) == ({"id": added, "consent": None}, ["FORBIDDEN"])


def test_a_quote_says_whose_payment_it_is(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    using = {"paymentMethodId": methods(gateway)["CARD"]}

    def said(**more: Any) -> Any:
        given = {
            "customerId": "cus_alex",
            "idempotencyKey": f"quote-{uuid4()}",
            "using": using,
            "amount": {"amount": "10", "currency": "USD"},
            **more,
        }
        return gateway.data(QUOTE, input=given)["quotePayment"]

    assert said()["payment"] == {"initiator": "CUSTOMER", "merchantReason": None}
    merchants = said(initiator="MERCHANT", merchantReason="RECURRING")
    assert merchants["payment"] == {"initiator": "MERCHANT", "merchantReason": "RECURRING"}
    for wrong in ({"initiator": "MERCHANT"}, {"merchantReason": "RECURRING"}):
        refused = said(**wrong)["userErrors"]
        assert [(one["code"], one["path"]) for one in refused] == [("INVALID_INPUT", ["input", "merchantReason"])]
    assert quote(gateway, using=using)["payment"]["state"] == "QUOTED"
