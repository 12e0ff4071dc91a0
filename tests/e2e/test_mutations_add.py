"""Adding a payment method over HTTP: every way at every vault, with responses, stored data and calls."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.adding import HOME, WAYS, adding, aloha_connected, caselle_card, loanpro_card, raw_card
from tests.support.gateway import RunningGateway
from tests.support.gateways import each_vault, upstream
from tests.support.sandbox import RunningSandbox

ADD = """mutation ($input: AddPaymentMethodInput!) { addPaymentMethod(input: $input) {
  operation { id mutation state replayed createdAt finishedAt }
  userErrors { __typename code path retryable ... on ProviderError { provider outcome }
    ... on DuplicateError { existing { id } } }
  warnings { __typename code ... on DuplicateError { existing { id } } }
  wasDuplicate nextAction { kind url }
  paymentMethod { __typename id provider kind status nickname last4 isDefault isProviderDefault etag groupKey
    possibleDuplicates { id } ... on Card { brand expiry tokenType } ... on BankAccount { rail accountType } }
  customer { id paymentMethods { id } defaultMethod { id } }
} }"""
SETTINGS = {"raw_cards": True, "return_origins": ["https://shop.example"], **each_vault(fresh_for_s=0)}
ALL = [
    "customers:read",
    "customers:write",
    "payment_methods:read",
    "payment_methods:write",
    "network_tokens:write",
    "pan:write",
    "links:read",
    "links:write",
]


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(sandbox_server.url, tmp_path_factory.mktemp("add"), **SETTINGS) as gateway:
        gateway.headers["authorization"] = f"Bearer {gateway.token(ALL)}"
        yield gateway


@pytest.fixture
def gateway(shared: RunningGateway, sandbox: RunningSandbox) -> RunningGateway:
    """One for the module; the vaults are reset for every test."""
    return shared


def add(gateway: RunningGateway, value: dict[str, Any]) -> Any:
    return gateway.data(ADD, input=value)["addPaymentMethod"]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_adds_one_method_and_shows_it(gateway: RunningGateway, sandbox: RunningSandbox, way: str) -> None:
    provider, make = WAYS[way]
    ref = {
        "LOANPRO": "37",
        "ALOHA": "82c6fdcb-534f-415a-9e28-87be989e461f",
        "JPMORGAN": "PACJGQ",
        "CASELLE": "cus_88420",
    }[provider]
    before = sandbox.held(provider.lower(), ref)
    done = add(gateway, adding(make(sandbox), nickname="Mine"))
    assert done["userErrors"] == []
    assert done["wasDuplicate"] is False
    operation, method = done["operation"], done["paymentMethod"]
    assert (operation["mutation"], operation["state"], operation["replayed"]) == (
        "addPaymentMethod",
        "SUCCEEDED",
        False,
    )
    assert operation["finishedAt"] >= operation["createdAt"]
    assert (method["provider"], method["status"], method["nickname"]) == (provider, "ACTIVE", "Mine")
    assert method["id"] in [one["id"] for one in done["customer"]["paymentMethods"]]
    assert len(sandbox.held(provider.lower(), ref)) == len(before) + 1


SHOWN = {
    "loanpro card": {"last4": "1881", "brand": "VISA", "expiry": "2031-07"},
    "loanpro account": {"last4": "0077", "rail": "ACH", "accountType": "SAVINGS"},
    "aloha connected payments": {"last4": "4444", "brand": "MASTERCARD", "expiry": "2031-07"},
    "aloha credit call": {"last4": "4444", "brand": "VISA"},
    "aloha freedom pay": {"last4": "4444", "brand": "AMEX"},
    "jpmorgan network token": {"last4": "4444", "brand": "MASTERCARD", "tokenType": "NETWORK_TOKEN"},
    "jpmorgan device token": {"last4": "5100", "brand": "MASTERCARD", "tokenType": "DEVICE_TOKEN"},
    "jpmorgan raw card": {"last4": "1881", "brand": "VISA", "expiry": "2031-07"},
    "jpmorgan wallet": {"brand": "VISA", "tokenType": "DEVICE_TOKEN"},
    "jpmorgan ach": {"last4": "1156", "rail": "ACH", "accountType": "CORPORATE_CHECKING"},
    "jpmorgan sepa": {"last4": "3000", "rail": "SEPA"},
    "jpmorgan bacs": {"last4": "6819", "rail": "BACS"},
    "caselle card": {"last4": "1881", "brand": "VISA", "expiry": "2031-07"},
    "caselle ach": {"last4": "0077", "rail": "ACH", "accountType": "SAVINGS"},
}


@pytest.mark.parametrize("way", WAYS)
def test_an_added_method_is_shown_as_the_vault_has_it(
    gateway: RunningGateway, sandbox: RunningSandbox, way: str
) -> None:
    method = add(gateway, adding(WAYS[way][1](sandbox)))["paymentMethod"]
    assert {name: method[name] for name in SHOWN[way]} == SHOWN[way]


def test_a_repeated_key_returns_the_same_and_adds_nothing(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    value = adding(loanpro_card(sandbox))
    first = add(gateway, value)
    sandbox.clear_calls()
    again = add(gateway, value)
    assert again["paymentMethod"] == first["paymentMethod"]
    assert again["operation"] == first["operation"] | {"replayed": True}
    assert all(row["method"] == "GET" for row in sandbox.calls())


def test_a_key_reused_for_another_request_is_refused(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    value = adding(loanpro_card(sandbox))
    add(gateway, value)
    sandbox.clear_calls()
    other = add(gateway, value | {"method": loanpro_card(sandbox)})
    assert [(one["__typename"], one["code"], one["retryable"]) for one in other["userErrors"]] == [
        ("ConflictError", "IDEMPOTENCY_KEY_REUSED", False)
    ]
    assert (other["paymentMethod"], other["operation"]) == (None, None)
    assert upstream(sandbox) == {}


def test_a_repeated_token_returns_the_existing_method(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    token = aloha_connected(sandbox)
    first = add(gateway, adding(token))
    again = add(gateway, adding(token))
    assert (again["wasDuplicate"], again["userErrors"]) == (True, [])
    assert again["paymentMethod"]["id"] == first["paymentMethod"]["id"]
    refused = add(gateway, adding(token, onDuplicate="REJECT"))
    ((error),) = refused["userErrors"]
    assert (error["__typename"], error["code"]) == ("DuplicateError", "DUPLICATE")
    assert error["existing"] == {"id": first["paymentMethod"]["id"]}


def test_look_alikes_warn_and_name_each_other(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    first = add(gateway, adding(loanpro_card(sandbox)))["paymentMethod"]
    second = add(gateway, adding(caselle_card(sandbox)))
    assert [(one["code"], one["existing"]["id"]) for one in second["warnings"]] == [("DUPLICATE", first["id"])]
    assert second["paymentMethod"]["possibleDuplicates"] == [{"id": first["id"]}]
    assert second["paymentMethod"]["groupKey"] == first["groupKey"] is not None


def test_make_default_makes_it_the_default_everywhere(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    done = add(gateway, adding(caselle_card(sandbox), makeDefault=True))
    method = done["paymentMethod"]
    assert (method["isDefault"], method["isProviderDefault"]) == (True, True)
    assert done["customer"]["defaultMethod"] == {"id": method["id"]}


def test_three_d_secure_returns_a_next_action(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    card = raw_card(sandbox, authenticate={"returnUrl": "https://shop.example/back", "challenge": "CHALLENGE_MANDATE"})
    done = add(gateway, adding(card))
    assert done["userErrors"] == []
    assert done["nextAction"]["kind"] == "REDIRECT"
    assert done["nextAction"]["url"].startswith("http")


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"nickname": "4111 1111 1111 1111"}, "PAN_NOT_ALLOWED", ["input", "nickname"]),
        ({"nickname": "x" * 101}, "INVALID_INPUT", ["input", "nickname"]),
        ({"nickname": "a\nb"}, "INVALID_INPUT", ["input", "nickname"]),
        ({"customerId": "cus_nobody"}, "NOT_FOUND", ["input", "customerId"]),
        ({"customerId": "pm_nothing"}, "NOT_FOUND", ["input", "customerId"]),
        ({"customerId": "cus_kim"}, "NOT_LINKED", ["input", "customerId"]),
        ({"billingAddress": HOME}, "UNSUPPORTED_BY_PROVIDER", ["input", "billingAddress"]),
    ],
)
def test_invalid_input_is_refused_before_any_call(
    gateway: RunningGateway, sandbox: RunningSandbox, change: dict[str, Any], code: str, path: list[str]
) -> None:
    sandbox.clear_calls()
    done = add(gateway, adding(loanpro_card(sandbox)) | change)
    assert [(error["code"], error["path"], error["retryable"]) for error in done["userErrors"]] == [(code, path, False)]
    assert (done["paymentMethod"], done["wasDuplicate"], done["warnings"]) == (None, False, [])
    assert upstream(sandbox) == {}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ({"jpmBankAccount": {"ach": {"routingNumber": "122000248"}}}, ["jpmBankAccount", "ach", "routingNumber"]),
        ({"jpmBankAccount": {"ach": {"accountNumber": "12"}}}, ["jpmBankAccount", "ach", "accountNumber"]),
        ({"jpmBankAccount": {"sepa": {"iban": "DE00370400440532013000"}}}, ["jpmBankAccount", "sepa", "iban"]),
        ({"jpmBankAccount": {"bacs": {"sortCode": "6016"}}}, ["jpmBankAccount", "bacs", "sortCode"]),
        ({"alohaToken": {"token": "no-type"}}, ["alohaToken", "token"]),
        ({"alohaToken": {"maskedCardNumber": "5555"}}, ["alohaToken", "maskedCardNumber"]),
        ({"caselleToken": {"card": {"bin": "42x"}}}, ["caselleToken", "card", "bin"]),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, list) else "",
)
def test_a_fault_names_its_field(
    gateway: RunningGateway, sandbox: RunningSandbox, method: dict[str, Any], path: list[str]
) -> None:
    way = next(make for _, make in WAYS.values() if _is_like(make(sandbox), method))
    value = adding(_laid_over(way(sandbox), method))
    sandbox.clear_calls()
    done = add(gateway, value)
    assert [(error["code"], error["path"]) for error in done["userErrors"]] == [
        ("INVALID_INPUT", ["input", "method", *path])
    ]
    assert upstream(sandbox) == {}


def test_a_refusal_by_the_vault_is_a_provider_error(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    done = add(gateway, adding(loanpro_card(sandbox, token="never-minted-token")))
    ((error),) = done["userErrors"]
    assert (error["__typename"], error["provider"], error["outcome"]) == ("ProviderError", "LOANPRO", "NOT_APPLIED")
    assert error["path"] == ["input", "method", "loanproToken", "token"]
    assert (done["operation"]["state"], done["paymentMethod"]) == ("FAILED", None)


def test_network_tokens_and_raw_cards_need_their_scopes(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    plain = {"authorization": f"Bearer {gateway.token(['payment_methods:write', 'payment_methods:read'])}"}
    for way in ("jpmorgan raw card", "jpmorgan network token"):
        value = adding(WAYS[way][1](sandbox))
        sandbox.clear_calls()
        reply = gateway.query(ADD, {"input": value}, headers=plain)
        assert (reply.data, reply.codes) == ({"addPaymentMethod": None}, ["FORBIDDEN"])
        assert upstream(sandbox) == {}


def _is_like(value: Any, change: Any) -> bool:
    """True if `change` only changes existing parts of `value`."""
    if not isinstance(change, dict):
        return True
    return isinstance(value, dict) and all(name in value and _is_like(value[name], change[name]) for name in change)


def _laid_over(value: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    return value | {name: _laid_over(value[name], change[name]) for name in change}
