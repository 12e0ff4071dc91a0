"""The number of vault calls of a query: as few as its fields need, however it is written."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from app.sandbox.demo import ALEX, LOAD_CUSTOMERS, load_customer
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, patient, sources, status_calls, upstream
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

ONE_EACH = {"LOANPRO": 1, "ALOHA": 1, "JPMORGAN": 1, "CASELLE": 1}
CARDS = {
    "77ccba29-4857-494a-82bc-2a80e1fa2b9d",
    "63aaba29-4857-494a-82bc-2a80e1fa2b1e",
    "6d66f2e5-ad81-4848-9884-d5ff32ee7690",
}
STATUSES = '{ customer(id: "cus_alex") { paymentMethods { authStatus } } }'
WALLET = 'query { customer(id: "cus_alex") { paymentMethods { id } sources { provider state } } }'


def load_ids(count: int) -> list[str]:
    return [load_customer(1 + number % LOAD_CUSTOMERS).id for number in range(count)]


def test_many_fields_and_aliases_are_one_read_per_vault(demo_gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    data = demo_gateway.data(
        """{
          a: customer(id: "cus_alex") {
            paymentMethods { id label customer { defaultMethod { id } } }
            cards: paymentMethods(filter: {kinds: [CARD]}) { id }
            newest: paymentMethods(orderBy: NEWEST_FIRST, first: 1) { id }
            defaultMethod { id } defaultMethodInfo { state reason providerDefaults { id } }
            sources { provider state methodCount } isComplete
          }
          b: customer(id: "cus_alex") { paymentMethods { provider } isComplete }
          c: node(id: "cus_alex") { ... on Customer { paymentMethods { provider } } }
          d: findCustomer(by: {externalId: "user-88420"}) { defaultMethod { provider } }
        }"""
    )
    assert upstream(sandbox) == ONE_EACH
    assert len(data["a"]["paymentMethods"]) == len(data["b"]["paymentMethods"]) == 9
    assert data["b"]["paymentMethods"] == data["c"]["paymentMethods"]
    assert len(data["a"]["cards"]) == 7
    assert data["d"]["defaultMethod"] == {"provider": "LOANPRO"}


def test_fifty_customers_cost_loanpro_two_calls(demo_gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    ids = load_ids(50)
    data = demo_gateway.data(
        "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Customer { id paymentMethods { provider } isComplete } } }",
        ids=ids,
    )
    assert [one["id"] for one in data["nodes"]] == ids
    assert {len(one["paymentMethods"]) for one in data["nodes"]} == {10}
    assert all(one["isComplete"] for one in data["nodes"])
    assert upstream(sandbox) == {"LOANPRO": 2, "ALOHA": 50, "JPMORGAN": 50, "CASELLE": 50}


def test_a_hundred_ids_and_not_one_more(demo_gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Customer { id name } } }"
    ids = load_ids(100)
    assert [one["id"] for one in demo_gateway.data(query, ids=ids)["nodes"]] == ids
    refused = demo_gateway.query(query, {"ids": load_ids(101)})
    assert refused.codes in (["BAD_USER_INPUT"], ["COST_ESTIMATED_TOO_EXPENSIVE"])
    assert refused.data is None
    assert sandbox.calls() == []


def test_directory_fields_alone_cost_no_call(demo_gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    data = demo_gateway.data(
        """{ customer(id: "cus_alex") { name email externalId links { provider customerRef proof linkedBy linkedAt } }
             findCustomer(by: {providerRef: {provider: JPMORGAN, customerRef: "PACJGQ"}}) { id }
             viewer { scopes } providers { provider capabilities } }"""
    )
    assert data["customer"]["name"] == "Alex Morales"
    assert {link["provider"]: link["customerRef"] for link in data["customer"]["links"]} == {
        name.upper(): ref for name, ref in ALEX.refs.items()
    }
    assert data["findCustomer"] == {"id": "cus_alex"}
    assert sandbox.calls(token_routes=True) == []


def test_a_customer_linked_nowhere_costs_no_call(demo_gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    demo_gateway.data('{ customer(id: "cus_kim") { paymentMethods { id } defaultMethod { id } sources { state } } }')
    assert sandbox.calls(token_routes=True) == []


@pytest.mark.parametrize("provider", ["LOANPRO", "ALOHA", "JPMORGAN", "CASELLE"])
def test_a_filter_of_providers_prunes_the_calls(
    provider: str, demo_gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    data = demo_gateway.data(
        """query ($only: [Provider!]) { customer(id: "cus_alex") {
             paymentMethods(filter: {providers: $only}) { provider } sources { provider state } isComplete } }""",
        only=[provider],
    )["customer"]
    assert upstream(sandbox) == {provider: 1}
    assert {one["provider"] for one in data["paymentMethods"]} == {provider}
    assert sources(data) == {name: "OK" if name == provider else "SKIPPED" for name in ONE_EACH}
    assert data["isComplete"] is True


def test_two_filters_are_read_together(demo_gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    data = demo_gateway.data(
        """{ customer(id: "cus_alex") {
          a: paymentMethods(filter: {providers: [LOANPRO]}) { provider }
          b: paymentMethods(filter: {providers: [CASELLE, LOANPRO]}) { provider }
          none: paymentMethods(filter: {providers: []}) { provider }
          sources { provider state } } }"""
    )["customer"]
    assert upstream(sandbox) == {"LOANPRO": 1, "CASELLE": 1}
    assert data["none"] == []
    assert sources(data) == {"LOANPRO": "OK", "ALOHA": "SKIPPED", "JPMORGAN": "SKIPPED", "CASELLE": "OK"}


def test_a_method_by_id_reads_only_its_vault(demo_gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    methods = demo_gateway.data('{ customer(id: "cus_alex") { paymentMethods { id provider label } } }')
    sandbox.clear_calls()
    fresh = demo_gateway.gateway.snapshots
    for shown in methods["customer"]["paymentMethods"]:
        demo_gateway.on_loop(_clear(fresh))
        query = "query ($id: ID!) { paymentMethod(id: $id) { id label } node(id: $id) { id } }"
        data = demo_gateway.data(query, id=shown["id"])
        assert data == {
            "paymentMethod": {"id": shown["id"], "label": shown["label"]},
            "node": {"id": shown["id"]},
        }
        assert upstream(sandbox) == {shown["provider"]: 1}
        sandbox.clear_calls()


async def _clear(snapshots: object) -> None:
    snapshots.clear()  # type: ignore[attr-defined]


def test_three_d_secure_is_read_only_when_selected(demo_gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    demo_gateway.data(
        """{ customer(id: "cus_alex") {
          paymentMethods { id status isDefault ... on Card { expiry brand } }
          authStatus authSummary { status basis { id } isComplete } sources { state } isComplete } }"""
    )
    assert status_calls(sandbox) == [], "the default is LoanPro's card, which has no 3-D Secure"
    assert upstream(sandbox) == ONE_EACH


def test_one_status_call_per_card_for_all_fields(demo_gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    data = demo_gateway.data(
        """{
          a: customer(id: "cus_alex") {
            paymentMethods { authStatus provider ... on Card { threeDSecure { status rawStatus authenticatedAt } } }
            again: paymentMethods(filter: {providers: [JPMORGAN]}) { authStatus }
            authStatus authSummary { status challengePending { id } }
          }
          b: customer(id: "cus_alex") { paymentMethods { authStatus } sources { provider state } }
        }"""
    )
    assert sorted(status_calls(sandbox)) == sorted(CARDS)
    assert upstream(sandbox) == {**ONE_EACH, "JPMORGAN": 4}
    shown = sorted(one["authStatus"] for one in data["a"]["again"])
    assert shown == ["AUTHENTICATED", "NOT_PERFORMED", "NOT_PERFORMED"]
    assert {one["authStatus"] for one in data["a"]["paymentMethods"] if one["provider"] != "JPMORGAN"} == {
        "NOT_APPLICABLE"
    }
    assert sources(data["b"]) == dict.fromkeys(ONE_EACH, "OK")


def test_statuses_are_read_concurrently(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient(fresh_for_s=60))
    gateway.data(WALLET)
    sandbox.fault("jpmorgan", "hang", path="/api/v2/mmp/consumer-profiles/PACJGQ/payment-methods")
    sandbox.clear_calls()
    assert len(_asked_before_any_answer(gateway, sandbox, 3)) == 3


def test_statuses_are_prefetched_with_their_list_for_repeated_queries(
    start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient())
    sandbox.fault("jpmorgan", "delay", delay_ms=300)
    sandbox.clear_calls()
    gateway.data(STATUSES)
    times = sorted(datetime.fromisoformat(row["at"]) for row in sandbox.calls("jpmorgan"))
    assert (len(times), sorted(status_calls(sandbox))) == (4, sorted(CARDS)), "not one call more"
    assert (times[1] - times[0]).total_seconds() >= 0.3, "the cards are unknown before the list arrives"
    sandbox.clear_faults()
    sandbox.fault("jpmorgan", "hang")
    sandbox.clear_calls()
    rows = _asked_before_any_answer(gateway, sandbox, 4)
    asked = [row["path"].split("/")[-2] for row in rows if row["path"].endswith("/status")]
    assert (len(rows), sorted(asked)) == (4, sorted(CARDS)), "not one call more"


def _asked_before_any_answer(gateway: RunningGateway, sandbox: RunningSandbox, count: int) -> list[Any]:
    """The calls received by J.P. Morgan while it hangs; afterwards it answers again."""
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(gateway.data, STATUSES)
        eventually(lambda: len(sandbox.calls("jpmorgan")) >= count, "the calls")
        assert not asking.done()
        rows = sandbox.calls("jpmorgan")
        sandbox.reset()  # ends the calls that hang
        asking.result()
    return rows


def test_a_fresh_snapshot_costs_no_call(demo_gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    first = demo_gateway.data(WALLET)
    sandbox.clear_calls()
    assert demo_gateway.data(WALLET) == first
    assert sandbox.calls(token_routes=True) == []


def test_without_a_fresh_snapshot_every_request_reads(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    for _ in range(2):
        gateway.data(WALLET)
        assert upstream(sandbox) == ONE_EACH
        sandbox.clear_calls()


def test_requests_at_the_same_time_share_their_reads(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    for name in ("loanpro", "aloha", "jpmorgan", "caselle"):
        sandbox.fault(name, "hang")
    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(gateway.data, WALLET) for _ in range(8)]
        eventually(lambda: gateway.gateway._endpoint.in_flight == 8, "all eight")
        eventually(lambda: len(upstream(sandbox)) == 4, "a call to each vault")
        assert upstream(sandbox) == ONE_EACH
        sandbox.reset()  # ends the calls that hang: each is repeated once, for all
        answers = [one.result() for one in asking]
    assert all(json.dumps(one) == json.dumps(answers[0]) for one in answers)
    assert upstream(sandbox) == ONE_EACH


def test_oauth_tokens_are_fetched_once(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: gateway.data(WALLET.replace("alex", f"load-000{number + 1}")), range(6)))
    tokens = [row["provider"] for row in sandbox.calls(token_routes=True) if row.get("token_route")]
    assert sorted(tokens) == ["caselle", "jpmorgan"]
