"""`operation(id)`: the results of a write, page by page, for callers who may see its customer."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.adding import adding, caselle_card, loanpro_card, new_key
from tests.support.gateway import RunningGateway
from tests.support.gateways import each_vault, upstream
from tests.support.mutating import ADD, ERASE, run
from tests.support.sandbox import RunningSandbox

OPERATION = """query ($id: ID!, $first: Int! = 50, $after: String) { operation(id: $id) {
  id mutation state replayed createdAt finishedAt results(first: $first, after: $after) {
    edges { cursor node { provider row state outcome paymentMethod { id } error { code } } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""
READ = "payment_methods:read"


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("operation")
    with RunningGateway(sandbox_server.url, folder, **each_vault(fresh_for_s=0)) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared: RunningGateway, sandbox: RunningSandbox) -> RunningGateway:
    return shared


def operation(gateway: RunningGateway, operation_id: str, **more: Any) -> Any:
    return gateway.data(OPERATION, id=operation_id, **more)["operation"]


def test_it_returns_the_result_of_an_add(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    done = run(gateway, ADD, adding(caselle_card(sandbox)))
    sandbox.clear_calls()
    found = operation(gateway, done["operation"]["id"])
    assert (found["mutation"], found["state"], found["replayed"]) == ("addPaymentMethod", "SUCCEEDED", False)
    ((edge),) = found["results"]["edges"]
    assert edge["node"] == {
        "provider": "CASELLE",
        "row": 0,
        "state": "SUCCEEDED",
        "outcome": "APPLIED",
        "paymentMethod": {"id": done["paymentMethod"]["id"]},
        "error": None,
    }
    assert upstream(sandbox) == {"CASELLE": 1}  # to show the method


def test_it_is_a_node(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    done = run(gateway, ADD, adding(caselle_card(sandbox)))
    found = gateway.data("query ($id: ID!) { node(id: $id) { __typename id } }", id=done["operation"]["id"])
    assert found["node"] == {"__typename": "Operation", "id": done["operation"]["id"]}


def test_a_refusal_by_the_vault_is_in_its_row(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    done = run(gateway, ADD, adding(loanpro_card(sandbox, token="never-minted-token")))
    found = operation(gateway, done["operation"]["id"])
    assert (found["state"], found["finishedAt"] is not None) == ("FAILED", True)
    for edge in found["results"]["edges"]:
        assert (edge["node"]["outcome"], edge["node"]["paymentMethod"]) == ("NOT_APPLIED", None)


def test_rows_come_in_order_page_by_page(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    value = {"customerId": "cus_load-0007", "idempotencyKey": new_key(), "confirmExternalId": "load-0007"}
    done = run(gateway, ERASE, value)
    whole = operation(gateway, done["operation"]["id"])["results"]
    rows = [edge["node"]["row"] for edge in whole["edges"]]
    assert rows == sorted(rows)
    assert len(rows) == 4
    assert whole["pageInfo"]["hasNextPage"] is False
    pages: list[int] = []
    after: str | None = None
    for turn in range(4):
        page = operation(gateway, done["operation"]["id"], first=1, after=after)["results"]
        pages += [edge["node"]["row"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        assert page["pageInfo"]["hasNextPage"] is (turn < 3)
        assert page["pageInfo"]["hasPreviousPage"] is (turn > 0)
    assert pages == rows


@pytest.mark.parametrize("arguments", [{"after": "x"}, {"after": "cm93OmFiYw"}, {"first": 0}, {"first": 101}])
def test_an_invalid_page_is_a_request_error(
    gateway: RunningGateway, sandbox: RunningSandbox, arguments: dict[str, Any]
) -> None:
    done = run(gateway, ADD, adding(caselle_card(sandbox)))
    reply = gateway.query(OPERATION, {"id": done["operation"]["id"], **arguments})
    assert reply.codes == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("operation_id", ["op_01ARZ3NDEKTSV4RRFFQ69G5FAV", "op_x", "cus_alex", ""])
def test_an_invalid_operation_id_is_null(gateway: RunningGateway, operation_id: str) -> None:
    assert operation(gateway, operation_id) is None


def test_it_is_visible_only_to_callers_that_see_its_customer(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    made = run(gateway, ADD, adding(caselle_card(sandbox)))["operation"]["id"]

    def seen_by(**who: Any) -> Any:
        headers = {"authorization": f"Bearer {gateway.token(**who)}"}
        return gateway.query(OPERATION, {"id": made}, headers=headers)

    assert seen_by(scopes=[READ], customer="cus_alex").data["operation"]["id"] == made
    assert seen_by(scopes=[READ], customer="cus_sam").data == {"operation": None}
    lacking = seen_by(scopes=["customers:read"])
    assert (lacking.data, lacking.codes) == ({"operation": None}, ["FORBIDDEN"])
