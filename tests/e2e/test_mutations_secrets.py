"""Secrets and card numbers in wrong places: refused, not echoed, and found nowhere afterwards."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import leaks
from tests.support.adding import WAYS, adding, loanpro_card, new_key
from tests.support.gateway import RunningGateway
from tests.support.gateways import each_vault, upstream
from tests.support.mutating import ADD, CREATE, UNLINK, UPDATE, methods, run
from tests.support.sandbox import RunningSandbox

CARD = "4556 7375 8689 9855"  # valid check digit; not used elsewhere in the tests
BARE = CARD.replace(" ", "")


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    leaks.note(CARD, BARE)
    folder = tmp_path_factory.mktemp("secrets")
    with RunningGateway(sandbox_server.url, folder, raw_cards=True, **each_vault(fresh_for_s=0)) as gateway:
        yield gateway  # on exit it searches responses, logs and database files


@pytest.fixture
def gateway(shared: RunningGateway, sandbox: RunningSandbox) -> RunningGateway:
    return shared


def refused(gateway: RunningGateway, document: str, value: dict[str, Any], path: list[str]) -> None:
    payload = run(gateway, document, value)
    assert [(error["code"], error["path"]) for error in payload["userErrors"]] == [
        ("PAN_NOT_ALLOWED", ["input", *path])
    ]
    assert payload["operation"] is None


@pytest.mark.parametrize("spelt", [CARD, BARE, CARD.replace(" ", "-"), f"my card {CARD} thanks"])
def test_a_card_number_in_free_text_is_refused_and_not_stored(
    gateway: RunningGateway, sandbox: RunningSandbox, spelt: str
) -> None:
    value = adding(loanpro_card(sandbox))
    method = methods(gateway, "CASELLE")[0]["id"]
    sandbox.clear_calls()
    refused(gateway, ADD, value | {"nickname": spelt}, ["nickname"])
    refused(gateway, UPDATE, {"id": method, "nickname": spelt}, ["nickname"])
    refused(gateway, UNLINK, {"customerId": "cus_sam", "provider": "CASELLE", "reason": spelt}, ["reason"])
    name = {"first": "Ada", "last": spelt}
    refused(gateway, CREATE, {"externalId": new_key(), "idempotencyKey": new_key(), "name": name}, ["name", "last"])
    assert upstream(sandbox) == {}


def test_a_card_number_in_place_of_a_masked_one_is_refused(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    value = adding(WAYS["aloha connected payments"][1](sandbox, maskedCardNumber=BARE))
    sandbox.clear_calls()
    refused(gateway, ADD, value, ["method", "alohaToken", "maskedCardNumber"])
    assert upstream(sandbox) == {}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"token": {"number": BARE}}, ".method.loanproToken.token"),
        ({"token": int(BARE)}, ".method.loanproToken.token"),
        ({"kind": BARE}, ".method.loanproToken.kind"),
        ({BARE: "x"}, ".method.loanproToken"),
    ],
    ids=["object", "number", "enum", "name"],
)
def test_a_value_that_does_not_fit_is_not_quoted(
    gateway: RunningGateway, sandbox: RunningSandbox, change: dict[str, Any], place: str
) -> None:
    value = adding(loanpro_card(sandbox, **change))
    sandbox.clear_calls()
    reply = gateway.query(ADD, {"input": value})
    assert (reply.status, reply.codes) == (400, ["BAD_USER_INPUT"])
    assert place in reply.errors[0]["message"]
    assert BARE not in reply.raw.decode()
    assert upstream(sandbox) == {}


def test_a_missing_field_does_not_quote_its_neighbours(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    value = adding({"jpmRawCard": {"accountNumber": BARE, "brand": "VISA"}})
    reply = gateway.query(ADD, {"input": value})
    assert reply.codes == ["BAD_USER_INPUT"]
    assert "expiry" in reply.errors[0]["message"]


@pytest.mark.parametrize("method", [{}, {"loanproToken": None}, {"loanproToken": {}, "alohaToken": {}}])
def test_more_or_less_than_one_way_is_a_request_error(
    gateway: RunningGateway, sandbox: RunningSandbox, method: dict[str, Any]
) -> None:
    sandbox.clear_calls()
    reply = gateway.query(ADD, {"input": adding(method)})
    assert set(reply.codes) == {"BAD_USER_INPUT"}
    assert upstream(sandbox) == {}


def test_a_secret_in_the_documents_text_is_refused(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    text = (
        'mutation { addPaymentMethod(input: {customerId: "cus_alex", idempotencyKey: "0123456789abcdef", method: '
        '{jpmRawCard: {accountNumber: "NUMBER", expiry: "2031-05", brand: VISA}}}) { wasDuplicate } }'
    ).replace("NUMBER", BARE)
    sandbox.clear_calls()
    reply = gateway.query(text, headers={"authorization": f"Bearer {gateway.token(['payment_methods:write'])}"})
    assert set(reply.codes) == {"GRAPHQL_VALIDATION_FAILED"}
    assert upstream(sandbox) == {}
