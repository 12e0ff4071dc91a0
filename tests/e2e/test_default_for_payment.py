"""The default among methods that can pay: the documented example, the fields, and chosen methods that cannot pay."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, patient
from tests.support.mutating import SET_DEFAULT, codes, methods, run
from tests.support.sandbox import RunningSandbox

PAGE = Path(__file__).parents[2] / "docs" / "payments.md"
PAYING = """query ($id: ID!, $for: UsableFor) { customer(id: $id) {
  constant: defaultMethod(usableFor: PAY) { id provider capabilities } general: defaultMethod { id provider }
  variable: defaultMethod(usableFor: $for) { id provider capabilities }
  info: defaultMethodInfo(usableFor: $for) { state reason } generalInfo: defaultMethodInfo { state reason }
} }"""
QUOTE = """mutation ($input: QuotePaymentInput!) { quotePayment(input: $input) {
  payment { state paymentMethod { id } } userErrors { code message path ... on ProviderError { provider } } } }"""


def documented() -> tuple[str, dict[str, Any]]:
    """The first mutation of the page, with the variables below it."""
    text = PAGE.read_text()
    (document, variables) = re.findall(r"```(?:graphql|json)\n(.*?)```", text, re.DOTALL)[:2]
    return document, json.loads(variables)


def paying(gateway: RunningGateway, customer: str = "cus_alex", wanted: str | None = "PAY") -> Any:
    return gateway.data(PAYING, id=customer, **{"for": wanted})["customer"]


def quote(gateway: RunningGateway, customer: str = "cus_alex", key: str = "quote-by-default-00000001") -> Any:
    given = {
        "customerId": customer,
        "idempotencyKey": key,
        "using": {"defaultOfCustomer": True},
        "amount": {"amount": "10.00", "currency": "USD"},
        "reference": "r-1",
    }
    return gateway.data(QUOTE, input=given)["quotePayment"]


def quotes(sandbox: RunningSandbox) -> int:
    return len([call for call in sandbox.calls("caselle") if call["method"] == "POST" and "payments" in call["path"]])


def choose(gateway: RunningGateway, method_id: str, **more: Any) -> None:
    assert codes(run(gateway, SET_DEFAULT, {"customerId": "cus_alex", "paymentMethodId": method_id, **more})) == []


def test_the_documented_example_works_unchanged(start_gateway: StartGateway) -> None:
    gateway = start_gateway(**patient())
    document, variables = documented()
    payload = gateway.data(document, **variables)["quotePayment"]
    assert (payload["userErrors"], payload["payment"]["state"]) == ([], "QUOTED")
    assert payload["payment"]["amount"] == variables["input"]["amount"]


@pytest.mark.parametrize("plans", [True, False])
def test_the_default_for_paying_is_at_a_vault_that_pays(
    plans: bool, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient(), execution={"plans": plans})
    for _ in range(3):  # from the second run on by a plan
        alex = paying(gateway)
        assert alex["general"]["provider"] == "LOANPRO"
        assert (alex["constant"]["provider"], alex["variable"]) == ("CASELLE", alex["constant"])
        assert "PAY" in alex["constant"]["capabilities"]
        assert alex["info"] == {"state": "RESOLVED", "reason": "ONLY_PROVIDER_DEFAULT"}
        assert alex["generalInfo"]["reason"] == "PROVIDER_PRECEDENCE"
        general = paying(gateway, wanted=None)
        assert (general["variable"]["id"], general["info"]) == (general["general"]["id"], general["generalInfo"])
    paid = quote(gateway)
    assert (paid["userErrors"], paid["payment"]["paymentMethod"]["id"]) == ([], alex["constant"]["id"])


def test_a_chosen_method_that_cannot_pay_is_named_and_not_replaced(
    start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient())
    chosen = methods(gateway, "LOANPRO")[0]["id"]
    choose(gateway, chosen)
    sandbox.clear_calls()
    alex = paying(gateway)
    assert (alex["constant"], alex["info"]) == (None, {"state": "NONE", "reason": None})
    refused = quote(gateway)
    (error,) = refused["userErrors"]
    assert (refused["payment"], error["code"]) == (None, "UNSUPPORTED_BY_PROVIDER")
    assert error["path"] == ["input", "using", "defaultOfCustomer"]
    assert chosen in error["message"]
    sandbox.fault("loanpro", "status", status=503)
    (error,) = quote(gateway, key="quote-by-default-00000002")["userErrors"]
    assert (error["code"], chosen in error["message"]) == ("UNSUPPORTED_BY_PROVIDER", True), "whichever vault answers"
    assert quotes(sandbox) == 0


def test_a_chosen_method_missing_from_its_vault_cannot_pay(
    start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient())
    first, second = (one["id"] for one in methods(gateway, "CASELLE")[:2])
    choose(gateway, second)
    assert paying(gateway)["info"] == {"state": "RESOLVED", "reason": "EXPLICIT_CHOICE"}
    assert paying(gateway)["constant"]["id"] == second != first
    path = "/api/customers/cus_88420/payment-methods"
    sandbox.fault("caselle", "rewrite", method="GET", path=path, body=[])
    (error,) = quote(gateway)["userErrors"]
    assert (error["code"], second in error["message"]) == ("METHOD_NOT_USABLE", True)
    sandbox.clear_faults()
    sandbox.fault("caselle", "status", method="GET", path=path, status=503)
    assert [one["code"] for one in quote(gateway, key="quote-by-default-00000002")["userErrors"]] == ["DEFAULT_UNKNOWN"]
    sandbox.clear_faults()
    assert quotes(sandbox) == 0
    assert quote(gateway, key="quote-by-default-00000003")["payment"]["paymentMethod"]["id"] == second


def test_every_linked_vault_must_answer_without_a_chosen_default(
    start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient())
    sandbox.fault("aloha", "status", status=503)
    assert paying(gateway)["info"] == {"state": "UNKNOWN", "reason": None}
    assert [one["code"] for one in quote(gateway)["userErrors"]] == ["DEFAULT_UNKNOWN"]
    choose(gateway, methods(gateway, "CASELLE")[0]["id"])
    assert quote(gateway, key="quote-by-default-00000002")["userErrors"] == []
