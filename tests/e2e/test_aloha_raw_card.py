"""Aloha's call for companies without payment providers: a card number that replaces all other methods, over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.sandbox.demo import ALEX
from tests.support.adding import Input, adding, aloha_connected
from tests.support.gateway import RunningGateway
from tests.support.gateways import each_vault, upstream
from tests.support.mutating import ADD, SET_DEFAULT, codes, methods, run
from tests.support.sandbox import RunningSandbox

REF = ALEX.refs["aloha"]
NUMBER = "4556737586899855"  # valid check digit; not used elsewhere in the tests
SCOPES = ["customers:read", "payment_methods:read", "payment_methods:write", "pan:write", "audit:read"]
EVENTS = """query { customer(id: "cus_alex") { events(first: 20) { edges { node { type provider } } } } }"""
SETTINGS: dict[str, Any] = each_vault(fresh_for_s=0, write_deadline_s=2.0, breaker={"minimum_calls": 10_000})
WITHOUT_PROVIDERS = SETTINGS | {"aloha": SETTINGS["aloha"] | {"payment_providers": []}}


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("aloha-raw")
    with RunningGateway(sandbox_server.url, folder, raw_cards=True, **WITHOUT_PROVIDERS) as gateway:
        gateway.headers["authorization"] = f"Bearer {gateway.token(SCOPES)}"
        yield gateway  # on exit it searches responses, logs and database files for the numbers that were sent


@pytest.fixture
def gateway(shared: RunningGateway, sandbox: RunningSandbox) -> RunningGateway:
    return shared


def raw(**changes: Any) -> Input:
    given = {"accountNumber": NUMBER, "expiry": "2033-04", "brand": "VISA", "replaceExisting": True}
    return {"alohaRawCard": given | changes}


def posts(sandbox: RunningSandbox) -> list[str]:
    return [row["path"] for row in sandbox.calls("aloha") if row["method"] != "GET"]


def test_the_card_replaces_all_others_and_says_so(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    before = methods(gateway, "ALOHA")
    assert len(before) == 2
    chosen = next(one for one in before if one["expiryState"] != "EXPIRED")
    assert codes(run(gateway, SET_DEFAULT, {"customerId": "cus_alex", "paymentMethodId": chosen["id"]})) == []
    sandbox.clear_calls()
    done = run(gateway, ADD, adding(raw(), nickname="New"))
    assert (codes(done), done["operation"]["state"]) == ([], "SUCCEEDED")
    card = done["paymentMethod"]
    assert (card["last4"], card["brand"], card["expiry"], card["nickname"]) == ("9855", "VISA", "2033-04", "New")
    assert [one["id"] for one in methods(gateway, "ALOHA")] == [card["id"]]
    assert posts(sandbox) == [f"/v1/Customers/{REF}/Payments"]
    events = gateway.data(EVENTS)["customer"]["events"]["edges"]
    kinds = [edge["node"]["type"] for edge in events if edge["node"]["provider"] == "ALOHA"]
    assert (kinds.count("METHOD_ADDED"), kinds.count("METHOD_DELETED")) == (1, 2)
    info = done["customer"]["defaultMethodInfo"]
    assert info["reason"] != "EXPLICIT_CHOICE", "the chosen method is gone"


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
def test_a_lost_reply_is_looked_up_and_the_call_not_repeated(
    gateway: RunningGateway, sandbox: RunningSandbox, kind: str
) -> None:
    value = adding(raw(expiry="2034-05"))
    sandbox.fault("aloha", kind, method="POST", times=1)
    done = run(gateway, ADD, value)
    assert len(posts(sandbox)) == 1
    if kind == "drop_after":
        assert (codes(done), done["paymentMethod"]["last4"]) == ([], "9855")
        assert len(sandbox.held("aloha", REF)) == 1
    else:
        assert done["userErrors"][0]["retryable"] is True
        assert len(sandbox.held("aloha", REF)) == 2


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"replaceExisting": False}, "UNSUPPORTED_BY_PROVIDER", "replaceExisting"),
        ({"accountNumber": "4556 7375"}, "INVALID_INPUT", "accountNumber"),
        ({"brand": "DINERS"}, "UNSUPPORTED_BY_PROVIDER", "brand"),
        ({"expiry": "2133-01"}, "INVALID_INPUT", "expiry"),
    ],
)
def test_a_card_that_may_not_or_cannot_be_sent_is_refused_before_any_call(
    gateway: RunningGateway, sandbox: RunningSandbox, changes: dict[str, Any], code: str, path: str
) -> None:
    refused = run(gateway, ADD, adding(raw(**changes)))
    assert [(error["code"], error["path"]) for error in refused["userErrors"]] == [
        (code, ["input", "method", "alohaRawCard", path])
    ]
    assert (refused["operation"], upstream(sandbox)) == (None, {})


def test_a_company_without_providers_takes_no_tokens(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    assert codes(run(gateway, ADD, adding(aloha_connected(sandbox)))) == ["UNSUPPORTED_BY_PROVIDER"]
    shown = gateway.data("{ providers { provider addVia } }")["providers"]
    assert [one["addVia"] for one in shown if one["provider"] == "ALOHA"] == [["RAW_CARD"]]


def test_the_scope_is_needed(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    token = gateway.token([scope for scope in SCOPES if scope != "pan:write"])
    reply = gateway.query(ADD, {"input": adding(raw())}, headers={"authorization": f"Bearer {token}"})
    assert (reply.codes, upstream(sandbox)) == (["FORBIDDEN"], {})


def test_otherwise_the_call_is_never_made(sandbox: RunningSandbox, start_gateway: Any) -> None:
    """A company with a payment provider, and a gateway without raw cards."""
    closed = start_gateway(**WITHOUT_PROVIDERS)
    closed.headers["authorization"] = f"Bearer {closed.token(SCOPES)}"
    assert codes(run(closed, ADD, adding(raw()))) == ["RAW_CARD_DISABLED"]
    by_token = start_gateway(raw_cards=True, **SETTINGS)
    by_token.headers["authorization"] = f"Bearer {by_token.token(SCOPES)}"
    assert codes(run(by_token, ADD, adding(raw()))) == ["UNSUPPORTED_BY_PROVIDER"]
    assert posts(sandbox) == []
