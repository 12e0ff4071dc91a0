"""The lifetime of access tokens, and the vaults' secrets in the gateway."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support import leaks
from tests.support.gateway import RunningGateway
from tests.support.gateways import PROVIDERS, StartGateway, patient, sources
from tests.support.sandbox import RunningSandbox

WALLET = 'query { customer(id: "cus_alex") { paymentMethods { id } sources { provider state } } }'


def tokens_fetched(sandbox: RunningSandbox, provider: str) -> int:
    return len([row for row in sandbox.calls(provider, token_routes=True) if row.get("token_route")])


@pytest.mark.parametrize("provider", ["jpmorgan", "caselle"])
def test_a_revoked_token_is_refreshed_once_without_an_error(
    provider: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient())
    gateway.data(WALLET)
    sandbox.clear_calls()
    sandbox.switch(provider, "REVOKE_TOKENS", "now")
    with ThreadPoolExecutor(6) as pool:
        queries = [WALLET.replace("alex", f"load-000{number}") for number in range(1, 7)]
        answers = list(pool.map(gateway.data, queries))
    assert {str(sources(one["customer"])) for one in answers} == {str(dict.fromkeys(PROVIDERS, "OK"))}
    assert tokens_fetched(sandbox, provider) == 1, "by one caller, for all"


@pytest.mark.parametrize("provider", ["jpmorgan", "caselle"])
def test_expiring_tokens_are_refreshed_without_an_error(
    provider: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    sandbox.switch(provider, "TOKEN_EXPIRES_IN", "1")
    gateway = start_gateway(**patient())
    for _ in range(5):
        assert sources(gateway.data(WALLET)["customer"]) == dict.fromkeys(PROVIDERS, "OK")
        time.sleep(0.5)
    assert 2 <= tokens_fetched(sandbox, provider) <= 10  # two per query at most, if one expires on its way


@pytest.mark.parametrize("provider", ["jpmorgan", "caselle"])
def test_refused_credentials_affect_one_row_and_are_not_retried_in_a_loop(
    provider: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**{**patient(), provider: {"client_secret": "wrong", "fresh_for_s": 0, "deadline_s": 15}})
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: gateway.data(WALLET), range(12)))
    for one in answers:
        assert sources(one["customer"]) == {**dict.fromkeys(PROVIDERS, "OK"), provider.upper(): "UNAUTHORIZED"}
    assert [row for row in sandbox.calls(provider) if not row.get("token_route")] == []


def test_vault_secrets_are_not_exposed(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    """Tokens are in every list. On exit the gateway's responses, logs and files are searched for them."""
    gateway: RunningGateway = start_gateway(**patient())
    found = [*_secrets(sandbox, "aloha"), *_secrets(sandbox, "loanpro")]
    assert len(found) >= 3
    leaks.note(*found)
    text = """{ customer(id: "cus_alex") {
      paymentMethods { id label last4 holderName providerRef statusDetail etag groupKey billingAddress { line1 }
        ... on Card { bin brand } ... on BankAccount { bankName } ... on OtherMethod { providerKind } }
      sources { provider state message providerRequestId } links { customerRef } } }"""
    gateway.data(text)
    for provider in PROVIDERS:
        sandbox.fault(provider.lower(), "truncate", times=8)
    reply = gateway.query(text)
    assert not leaks.found_in(reply.raw, gateway.log.encode(), secrets=found)


def _secrets(sandbox: RunningSandbox, provider: str) -> list[str]:
    """The secrets in the vault's list, read with its own credentials."""
    shown = sandbox.credentials(provider)
    base = shown["base_url"].removeprefix(sandbox.url)
    path = {
        "aloha": "/v1/Customers/82c6fdcb-534f-415a-9e28-87be989e461f/Payments",
        "loanpro": "/odata.svc/Customers(37)/PaymentAccounts?$expand=CreditCard,CheckingAccount",
    }[provider]
    body: Any = sandbox.request("GET", base + path, headers=shown["headers"]).json()
    if provider == "aloha":
        return [row["AccountNumber"] for row in body]
    children = [row["CreditCard"] or row["CheckingAccount"] for row in body["d"]["results"]]
    return [child["token"] for child in children if child and child.get("token")]
