"""The estimated and the actual cost of a request are in its response."""

from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, each_vault, upstream
from tests.support.sandbox import RunningSandbox

WALLET = 'query { customer(id: "cus_alex") { paymentMethods { id } } }'


def test_requested_and_actual(demo_gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    cost = demo_gateway.query(WALLET).body["extensions"]["cost"]
    assert (cost["requested"], cost["actual"]) == (4, sum(upstream(sandbox).values()))
    assert cost["actual"] == 4
    again = demo_gateway.query(WALLET).body["extensions"]["cost"]
    assert (again["requested"], again["actual"]) == (4, 0)  # from the cache


def test_fields_without_vault_calls_cost_nothing(demo_gateway: RunningGateway) -> None:
    cost = demo_gateway.query("{ viewer { partner } }").body["extensions"]["cost"]
    assert (cost["requested"], cost["actual"]) == (0, 0)


def test_a_repeated_call_is_counted(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**each_vault(fresh_for_s=0))
    sandbox.fault("aloha", "status", status=503, times=1)
    cost = gateway.query(WALLET).body["extensions"]["cost"]
    assert cost["actual"] == sum(upstream(sandbox).values()) == 5


def test_the_budget_is_a_setting(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    reply = start_gateway(gate={"cost": 3}).query(WALLET)
    assert (reply.status, reply.codes) == (400, ["COST_ESTIMATED_TOO_EXPENSIVE"])
    assert reply.errors[0]["extensions"]["cost"] == {"requested": 4, "maximum": 3}
    assert sandbox.calls() == []
