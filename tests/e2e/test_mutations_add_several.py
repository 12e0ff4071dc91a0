"""addPaymentMethods over HTTP: one vault call where the vault can, one result per item, one write in the journal."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.sandbox.demo import SAM
from tests.support.adding import (
    Input,
    aloha_connected,
    caselle_ach,
    caselle_card,
    loanpro_account,
    loanpro_card,
    new_key,
    raw_card,
    sepa,
)
from tests.support.gateway import RunningGateway
from tests.support.gateways import each_vault, upstream
from tests.support.mutating import codes, methods
from tests.support.sandbox import RunningSandbox

ADD = """mutation ($input: AddPaymentMethodsInput!) { addPaymentMethods(input: $input) {
  operation { id mutation state replayed
    results { edges { node { row state outcome paymentMethod { id } error { code path } } } } }
  userErrors { code path retryable ... on ProviderError { outcome } }
  warnings { code path }
  items { state outcome wasDuplicate nextAction { kind url } userErrors { code path retryable }
    paymentMethod { id last4 nickname kind isDefault isProviderDefault } }
  customer { defaultMethod { id } defaultMethodInfo { reason } } } }"""
FLAGS = """{ customer(id: "cus_sam") { paymentMethods(filter: {providers: [LOANPRO]}) {
  id isProviderDefault isSecondary vaultTitle } } }"""
SETTINGS = each_vault(fresh_for_s=0, write_deadline_s=2.0, breaker={"minimum_calls": 10_000})
SCOPES = ["customers:read", "payment_methods:read", "payment_methods:write", "pan:write"]
WRITES = ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(sandbox_server.url, tmp_path_factory.mktemp("several"), raw_cards=True, **SETTINGS) as gateway:
        gateway.headers["authorization"] = f"Bearer {gateway.token(SCOPES)}"
        yield gateway  # on exit it searches responses, logs and database files for what was sent


@pytest.fixture
def gateway(shared: RunningGateway, sandbox: RunningSandbox) -> RunningGateway:
    return shared


def adding(*items: Input, **more: Any) -> Input:
    given = [one if "method" in one else {"method": one} for one in items]
    return {"customerId": "cus_alex", "idempotencyKey": new_key(), "items": given, **more}


def add(gateway: RunningGateway, value: Input) -> Any:
    return gateway.data(ADD, input=value)["addPaymentMethods"]


def states(done: Any) -> list[tuple[str, str]]:
    return [(one["state"], one["outcome"]) for one in done["items"]]


def sent(sandbox: RunningSandbox, provider: str) -> list[str]:
    return [f"{row['method']} {row['path']}" for row in sandbox.calls(provider) if row["method"] in WRITES]


DONE = ("SUCCEEDED", "APPLIED")


def test_loanpro_takes_a_card_and_an_account_in_one_put(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    value = adding(
        {"method": loanpro_account(sandbox), "nickname": "Savings"},
        {"method": loanpro_card(sandbox), "makeDefault": True},
    )
    sandbox.clear_calls()
    done = add(gateway, value)
    assert (done["userErrors"], done["operation"]["state"], states(done)) == ([], "SUCCEEDED", [DONE, DONE])
    assert done["operation"]["mutation"] == "addPaymentMethods"
    account, card = (one["paymentMethod"] for one in done["items"])
    assert (account["kind"], account["last4"], account["nickname"]) == ("BANK_ACCOUNT", "0077", "Savings")
    assert (card["kind"], card["last4"], card["isDefault"], card["isProviderDefault"]) == ("CARD", "1881", True, True)
    assert sent(sandbox, "loanpro") == ["PUT /api/public/api/1/odata.svc/Customers(37)"]
    rows = [edge["node"] for edge in done["operation"]["results"]["edges"]]
    assert [(row["row"], row["state"], row["paymentMethod"]["id"]) for row in rows] == [
        (0, "SUCCEEDED", account["id"]),
        (1, "SUCCEEDED", card["id"]),
    ]
    sandbox.clear_calls()
    again = add(gateway, value)
    assert again["operation"] == done["operation"] | {"replayed": True}
    assert [one["paymentMethod"] for one in again["items"]] == [account, card]
    assert sent(sandbox, "loanpro") == []


def test_jpmorgan_takes_several_cards_in_one_post(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    cards = [raw_card(sandbox), raw_card(sandbox, accountNumber="5555555555554444", brand="MASTERCARD"), sepa(sandbox)]
    sandbox.clear_calls()
    done = add(gateway, adding(*cards))
    assert (done["userErrors"], states(done)) == ([], [DONE] * 3)
    assert [one["paymentMethod"]["last4"] for one in done["items"]] == ["1881", "4444", "3000"]
    assert [call for call in sent(sandbox, "jpmorgan") if call.endswith("payment-methods")] == sent(sandbox, "jpmorgan")
    assert len(sent(sandbox, "jpmorgan")) == 1


def test_cards_to_authenticate_are_sent_one_by_one(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    """A request to J.P. Morgan holds one browser for all its authentications."""
    asked = raw_card(sandbox, authenticate={"returnUrl": "http://127.0.0.1:3000/back"})
    sandbox.clear_calls()
    done = add(gateway, adding(asked, raw_card(sandbox, accountNumber="5555555555554444", brand="MASTERCARD")))
    assert (done["userErrors"], states(done)) == ([], [DONE, DONE])
    assert [bool(one["nextAction"]) for one in done["items"]] == [True, False]
    assert len(sent(sandbox, "jpmorgan")) == 2


def test_other_vaults_are_called_once_for_each_item(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    done = add(gateway, adding(caselle_card(sandbox), caselle_ach(sandbox)))
    assert (done["userErrors"], states(done)) == ([], [DONE, DONE])
    assert len(sent(sandbox, "caselle")) == 2
    done = add(gateway, adding(aloha_connected(sandbox)))
    assert states(done) == [DONE]


def test_a_refused_item_leaves_the_others_alone(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    value = adding(caselle_card(sandbox, fingerprint="prx_never_issued_0001"), caselle_ach(sandbox))
    done = add(gateway, value)
    assert (done["operation"]["state"], states(done)) == ("PARTIAL", [("FAILED", "NOT_APPLIED"), DONE])
    path = ["input", "items", "0"]
    (error,) = done["items"][0]["userErrors"]
    assert (error["code"], error["path"], done["userErrors"][0]["path"]) == ("PROVIDER_REJECTED", path, path)
    assert done["items"][0]["paymentMethod"] is None
    sandbox.clear_calls()
    assert states(add(gateway, value)) == states(done)
    assert sent(sandbox, "caselle") == []


def test_the_same_key_sends_only_what_was_not_added(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    value = adding(caselle_card(sandbox), caselle_ach(sandbox))
    sandbox.fault("caselle", "throttle", method="POST", times=1)
    first = add(gateway, value)
    assert [one["state"] for one in first["items"]].count("FAILED") >= 1
    again = first
    while any(error["retryable"] for error in again["userErrors"]):
        again = add(gateway, value)
    assert (again["operation"]["id"], states(again)) == (first["operation"]["id"], [DONE, DONE])
    assert len({one["paymentMethod"]["id"] for one in again["items"]}) == 2
    held = [one["last4"] for one in sandbox.held("caselle", "cus_88420")]
    assert (held.count("1881"), held.count("0077")) == (1, 1)


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
def test_a_lost_reply_to_one_call_is_looked_up_for_every_item(
    gateway: RunningGateway, sandbox: RunningSandbox, kind: str
) -> None:
    # A reset sandbox gives the same ids again: those that this gateway knows from earlier tests are not candidates.
    # Sam gets none at LoanPro before.
    value = adding(loanpro_card(sandbox), loanpro_account(sandbox), loanpro_card(sandbox), customerId="cus_sam")
    before = len(sandbox.held("loanpro", SAM.refs["loanpro"]))
    sandbox.fault("loanpro", kind, method="PUT", times=1)
    done = add(gateway, value)
    if kind == "drop_before":
        assert {one["retryable"] for one in done["userErrors"]} == {True}
        while codes(done):
            done = add(gateway, value)
    assert (codes(done), states(done)) == ([], [DONE] * 3)
    assert len({one["paymentMethod"]["id"] for one in done["items"]}) == 3
    assert [one["paymentMethod"]["kind"] for one in done["items"]] == ["CARD", "BANK_ACCOUNT", "CARD"]
    assert len(sandbox.held("loanpro", SAM.refs["loanpro"])) == before + 3


def test_loanpros_sample_of_a_primary_account_and_a_secondary_card(
    gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    """Page "Link Payment Profile to Customer", third sample; the profiles that had the flags before lose them."""
    account = {"method": loanpro_account(sandbox, accountType="CHECKING"), "makeDefault": True}
    done = add(gateway, adding(account, loanpro_card(sandbox, isSecondary=True), customerId="cus_sam"))
    assert (done["userErrors"], states(done)) == ([], [DONE, DONE])
    shown = gateway.data(FLAGS)["customer"]["paymentMethods"]
    flags = {one["id"]: (one["isProviderDefault"], one["isSecondary"], one["vaultTitle"]) for one in shown}
    primary, secondary = (one["paymentMethod"]["id"] for one in done["items"])
    assert flags.pop(primary) == (True, False, "Checking Account")
    assert flags.pop(secondary) == (False, True, "Credit Card")
    assert {each[:2] for each in flags.values()} <= {(False, False)}


def test_after_an_unknown_item_the_rest_is_not_sent(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    value = adding(caselle_card(sandbox), caselle_ach(sandbox))
    # Silent until the request times out, and stored later: a list taken before proves nothing.
    sandbox.fault("caselle", "delay", method="POST", path="/api/customers/", delay_ms=2200, times=1)
    first = add(gateway, value)
    assert states(first) == [("UNKNOWN", "UNKNOWN"), ("FAILED", "NOT_APPLIED")]
    assert codes(first) == ["OUTCOME_UNKNOWN", "IDEMPOTENCY_IN_PROGRESS"]
    assert (first["operation"]["state"], len(sent(sandbox, "caselle"))) == ("UNKNOWN", 1)
    again = first
    while any(error["retryable"] for error in again["userErrors"]):
        again = add(gateway, value)
    assert (again["operation"]["id"], states(again)) == (first["operation"]["id"], [DONE, DONE])
    held = [one["last4"] for one in sandbox.held("caselle", "cus_88420")]
    assert (held.count("1881"), held.count("0077")) == (1, 1)


def test_a_token_that_the_vault_has_is_returned_and_not_sent(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    token = loanpro_card(sandbox)
    first = add(gateway, adding(token, loanpro_account(sandbox)))
    again = add(gateway, adding(token, loanpro_account(sandbox)))
    assert [one["wasDuplicate"] for one in again["items"]] == [True, False]
    assert again["items"][0]["paymentMethod"]["id"] == first["items"][0]["paymentMethod"]["id"]
    rejected = add(gateway, adding(token, loanpro_account(sandbox), onDuplicate="REJECT"))
    assert [one["code"] for one in rejected["items"][0]["userErrors"]] == ["DUPLICATE"]
    assert rejected["items"][1]["state"] == "SUCCEEDED"


def test_adding_several_does_not_take_the_default_away(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    one = methods(gateway, customer="cus_alex")
    default = [each["id"] for each in one if each["isDefault"]]
    done = add(gateway, adding(caselle_card(sandbox), caselle_ach(sandbox)))
    assert [(done["customer"]["defaultMethod"] or {}).get("id")] == (default or [None])


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        (lambda box: [], "INVALID_INPUT", ["items"]),
        (lambda box: [{"method": loanpro_card(box)} for _ in range(11)], "INVALID_INPUT", ["items"]),
        (
            lambda box: [{"method": loanpro_card(box)}, {"method": caselle_card(box)}],
            "INVALID_INPUT",
            ["items", "1", "method", "caselleToken", "card"],
        ),
        (
            lambda box: [{"method": loanpro_card(box), "makeDefault": True} for _ in range(2)],
            "INVALID_INPUT",
            ["items", "1", "makeDefault"],
        ),
        (
            lambda box: [{"method": loanpro_card(box)}, {"method": loanpro_card(box), "nickname": "4556737586899855"}],
            "PAN_NOT_ALLOWED",
            ["items", "1", "nickname"],
        ),
        (
            lambda box: [{"method": loanpro_card(box)}, {"method": loanpro_card(box, title="x" * 101)}],
            "INVALID_INPUT",
            ["items", "1", "method", "loanproToken", "title"],
        ),
        (
            lambda box: [{"method": caselle_card(box)}, {"method": caselle_ach(box, routingNumber="12")}],
            "INVALID_INPUT",
            ["items", "1", "method", "caselleToken", "ach", "routingNumber"],
        ),
    ],
)
def test_a_bad_list_is_refused_as_a_whole_before_any_call(
    gateway: RunningGateway, sandbox: RunningSandbox, change: Any, code: str, path: list[str]
) -> None:
    value = adding(*change(sandbox))
    sandbox.clear_calls()
    refused = add(gateway, value)
    assert [(error["code"], error["path"]) for error in refused["userErrors"]] == [(code, ["input", *path])]
    assert (refused["operation"], refused["items"], upstream(sandbox)) == (None, [], {})


def test_one_token_twice_and_an_unlinked_customer_are_refused(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    token = loanpro_card(sandbox)
    twice = add(gateway, adding(token, token))
    assert [error["path"] for error in twice["userErrors"]] == [["input", "items", "1", "method", "loanproToken"]]
    assert codes(add(gateway, adding(token, customerId="cus_kim"))) == ["NOT_LINKED"]


def test_a_card_number_needs_its_scope_in_a_list_too(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    token = gateway.token(["payment_methods:write", "payment_methods:read", "customers:read"])
    value = adding(raw_card(sandbox))
    sandbox.clear_calls()
    reply = gateway.query(ADD, {"input": value}, headers={"authorization": f"Bearer {token}"})
    assert reply.codes == ["FORBIDDEN"]
    assert upstream(sandbox) == {}
