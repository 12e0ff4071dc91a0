"""createTokenization and createHostedSession: data for a browser is stored nowhere, and numbers bypass the gateway."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from tests.support import leaks, mutating
from tests.support.adding import adding
from tests.support.gateway import RunningGateway
from tests.support.gateways import each_vault
from tests.support.sandbox import RunningSandbox

TOKENIZE = """
mutation T($input: CreateTokenizationInput!) {
  createTokenization(input: $input) {
    operation { id } tokenization { provider action { kind url clientToken } clientConfig } userErrors { code path }
  }
}
"""
HOST = """
mutation H($input: CreateHostedSessionInput!) {
  createHostedSession(input: $input) {
    operation { id state replayed } nextAction { kind url clientToken } userErrors { code path }
  }
}
"""


@pytest.fixture(scope="module")
def gateway(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    sandbox_server.reset()
    with RunningGateway(sandbox_server.url, tmp_path_factory.mktemp("browser"), **each_vault(fresh_for_s=0)) as running:
        yield running


def tokenize(gateway: RunningGateway, provider: str, customer: str = "cus_alex", **more: Any) -> Any:
    given = {"customerId": customer, "provider": provider, **more}
    return gateway.data(TOKENIZE, input=given)["createTokenization"]


def host(gateway: RunningGateway, **more: Any) -> Any:
    given = {
        "customerId": "cus_alex",
        "idempotencyKey": f"session-{uuid4()}",
        "provider": "CASELLE",
        "purpose": "PAY",
        "amount": {"amount": "142.27", "currency": "USD"},
        "returnUrl": "http://127.0.0.1:3000/receipt",
        "cancelUrl": "http://127.0.0.1:3000/billing",
        **more,
    }
    return gateway.data(HOST, input=given)["createHostedSession"]


def kept_anywhere(gateway: RunningGateway, secret: str) -> list[str]:
    """Files and logs that contain the secret; the response itself may."""
    in_files = [
        path.name
        for path in gateway.data_dir.rglob("*")
        if path.is_file() and leaks.found_in(path.read_bytes(), secrets=[secret])
    ]
    return in_files + leaks.found_in(gateway.log.encode(), secrets=[secret])


def test_a_card_captured_by_loanpros_form_is_added(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    payload = tokenize(gateway, "LOANPRO")
    assert (payload["operation"], payload["userErrors"]) == (None, [])
    action = payload["tokenization"]["action"]
    assert action["kind"] == "EMBED"
    assert action["clientToken"] in action["url"]
    form = urlsplit(action["url"])
    assert sandbox.request("GET", form.path).status == 200
    again = tokenize(gateway, "LOANPRO")["tokenization"]["action"]
    assert again["clientToken"] != action["clientToken"]
    assert kept_anywhere(gateway, action["clientToken"]) == []


def submit(sandbox: RunningSandbox, url: str, **fields: str) -> Any:
    """What the form's page does with the shopper's input."""
    form = urlsplit(url)
    assert sandbox.request("GET", f"{form.path}?{form.query}").status == 200
    return sandbox.request("POST", f"{form.path}?{form.query}", fields).json()


def test_an_account_captured_by_loanpros_bank_form_is_added(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    payload = tokenize(gateway, "LOANPRO", kind="BANK_ACCOUNT", accountType="SAVINGS")
    url = payload["tokenization"]["action"]["url"]
    assert "/check-capture-form/" in url
    assert url.endswith("?account_type=savings")
    checking = tokenize(gateway, "LOANPRO", kind="BANK_ACCOUNT")["tokenization"]["action"]["url"]
    assert checking.endswith("?account_type=checking")
    captured = submit(sandbox, url, number="000123450077", routing_number="124002971", holder_name="Ada Example")
    method = {"loanproToken": {"token": captured["token"], "kind": "BANK_ACCOUNT", "accountType": "SAVINGS"}}
    added = mutating.run(gateway, mutating.ADD, adding(method))
    assert (added["userErrors"], added["paymentMethod"]["last4"]) == ([], "0077")


def test_loanpros_form_changes_an_expiry_without_a_number(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    card = next(one for one in mutating.methods(gateway, "LOANPRO") if one["kind"] == "CARD")
    action = tokenize(gateway, "LOANPRO", paymentMethodId=card["id"])["tokenization"]["action"]
    assert urlsplit(action["url"]).path.startswith("/loanpro/secure-payments/edit-form/")
    assert submit(sandbox, action["url"], exp_month="11", exp_year="2039")["status"] == 200
    sandbox.clear_calls()
    changed = mutating.one(gateway, card["id"])
    assert (changed["expiry"], changed["last4"]) == ("2039-11", card["last4"])

    account = next(one for one in mutating.methods(gateway, "LOANPRO") if one["kind"] == "BANK_ACCOUNT")
    url = tokenize(gateway, "LOANPRO", paymentMethodId=account["id"])["tokenization"]["action"]["url"]
    assert "/check-edit-form/" in url
    assert submit(sandbox, url, holder_name="Ada Changed")["status"] == 200
    assert mutating.one(gateway, account["id"])["holderName"] == "Ada Changed"
    token = parse_qs(urlsplit(url).query)["account"][0]
    assert kept_anywhere(gateway, token) == []


def test_a_tenant_that_hides_tokens_has_no_form_for_stored_profiles(
    gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    card = mutating.methods(gateway, "LOANPRO")[0]["id"]
    sandbox.switch("loanpro", "TOKEN_ECHO", "none")
    (error,) = tokenize(gateway, "LOANPRO", paymentMethodId=card)["userErrors"]
    assert (error["code"], error["path"]) == ("UNSUPPORTED_BY_PROVIDER", ["input", "paymentMethodId"])


@pytest.mark.parametrize(
    ("provider", "more", "code", "path"),
    [
        ("LOANPRO", {"kind": "OTHER"}, "INVALID_INPUT", "kind"),
        ("LOANPRO", {"accountType": "SAVINGS"}, "INVALID_INPUT", "accountType"),
        ("LOANPRO", {"kind": "BANK_ACCOUNT", "accountType": "CORPORATE_CHECKING"}, "UNSUPPORTED_BY_PROVIDER",
         "accountType"),
        ("LOANPRO", {"paymentMethodId": "CASELLE"}, "NOT_FOUND", "paymentMethodId"),
        ("LOANPRO", {"paymentMethodId": "pm_unknown"}, "NOT_FOUND", "paymentMethodId"),
        ("CASELLE", {"paymentMethodId": "CASELLE"}, "UNSUPPORTED_BY_PROVIDER", "paymentMethodId"),
    ],
)  # fmt: skip
def test_a_form_that_cannot_be_opened_is_refused_without_a_call(
    gateway: RunningGateway, sandbox: RunningSandbox, provider: str, more: dict[str, Any], code: str, path: str
) -> None:
    if more.get("paymentMethodId") == "CASELLE":
        more = {"paymentMethodId": mutating.methods(gateway, "CASELLE")[0]["id"]}
    sandbox.clear_calls()
    (error,) = tokenize(gateway, provider, **more)["userErrors"]
    assert (error["code"], error["path"]) == (code, ["input", path])
    assert sandbox.calls() == []


def test_caselles_configuration_is_only_for_the_browser(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    found = tokenize(gateway, "CASELLE")["tokenization"]
    assert found["action"] is None
    secrets = [value for value in _texts(found["clientConfig"]) if len(value) >= 16]
    assert secrets
    assert [name for secret in secrets for name in kept_anywhere(gateway, secret)] == []


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize(("provider", "customer", "code"), [
    ("ALOHA", "cus_alex", "UNSUPPORTED_BY_PROVIDER"),
    ("JPMORGAN", "cus_alex", "UNSUPPORTED_BY_PROVIDER"),
    ("LOANPRO", "cus_nobody", "NOT_FOUND"),
])  # fmt: skip
def test_unsupported_captures_are_refused_without_a_call(
    gateway: RunningGateway, sandbox: RunningSandbox, provider: str, customer: str, code: str
) -> None:
    payload = tokenize(gateway, provider, customer)
    assert ([error["code"] for error in payload["userErrors"]], payload["tokenization"]) == ([code], None)
    assert sandbox.calls() == []


def test_an_unavailable_vault_is_reported_as_such(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    sandbox.fault("loanpro", "status", status=503)
    payload = tokenize(gateway, "LOANPRO")
    assert [error["code"] for error in payload["userErrors"]] == ["PROVIDER_UNAVAILABLE"]


def test_a_hosted_session_is_shown_once(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    key = f"session-{uuid4()}"
    first = host(gateway, idempotencyKey=key)
    assert first["userErrors"] == []
    assert sandbox.request("GET", urlsplit(first["nextAction"]["url"]).path).status == 200
    again = host(gateway, idempotencyKey=key)
    assert (again["operation"]["replayed"], again["nextAction"]) == (True, None)
    made = [call for call in sandbox.calls("caselle") if call["path"] == "/v1/hosted-sessions"]
    assert len(made) == 1
    if first["nextAction"]["clientToken"]:
        assert kept_anywhere(gateway, first["nextAction"]["clientToken"]) == []


@pytest.mark.parametrize(
    ("more", "code", "path"),
    [
        ({"provider": "ALOHA"}, "UNSUPPORTED_BY_PROVIDER", ["input", "provider"]),
        ({"customerId": "cus_kim"}, "NOT_LINKED", ["input", "provider"]),
        ({"amount": None}, "REQUIRED", ["input", "amount"]),
        ({"amount": {"amount": "1.005", "currency": "USD"}}, "INVALID_INPUT", ["input", "amount", "amount"]),
        ({"returnUrl": "https://elsewhere.example/x"}, "INVALID_INPUT", ["input", "returnUrl"]),
    ],
)
def test_an_invalid_session_is_refused_before_any_call(
    gateway: RunningGateway, sandbox: RunningSandbox, more: dict[str, Any], code: str, path: list[str]
) -> None:
    refused = host(gateway, **more)
    assert [(error["code"], error["path"]) for error in refused["userErrors"]] == [(code, path)]
    assert sandbox.calls() == []
