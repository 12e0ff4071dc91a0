"""The circuit breaker over HTTP: what opens it, what it refuses, how it closes, and where its state is shown."""

import threading
import time

import pytest

from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, each_vault, sources
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

WALLET = '{ customer(id: "cus_alex") { paymentMethods { id } sources { provider state } } }'
OPEN_FOR_S = 1.2


def aloha(gateway: RunningGateway) -> str:
    return sources(gateway.query(WALLET).data["customer"])["ALOHA"]


def circuit(gateway: RunningGateway) -> str:
    """As clients and operators see it."""
    rows = gateway.data("{ providers { provider circuit } }")["providers"]
    found: str = next(row["circuit"] for row in rows if row["provider"] == "ALOHA")
    exposed = gateway.request("GET", "/metrics").raw.decode()
    assert f'vaultgraph_circuit{{state="{found.lower()}",vault="aloha"}} 1.0' in exposed
    return found


@pytest.fixture
def gateway(start_gateway: StartGateway) -> RunningGateway:
    breaker = {"minimum_calls": 4, "open_for_s": OPEN_FOR_S}
    settings = each_vault(fresh_for_s=0, stale_if_error_for_s=0, deadline_s=5, retries=0, breaker=breaker)
    return start_gateway(**settings, request_deadline_s=5)


def test_it_opens_lets_one_probe_through_and_closes(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    assert circuit(gateway) == "CLOSED"
    sandbox.fault("aloha", "status", status=500)
    eventually(lambda: aloha(gateway) == "CIRCUIT_OPEN")
    assert circuit(gateway) == "OPEN"

    sandbox.clear_faults()
    sandbox.fault("aloha", "delay", delay_ms=2_000)
    time.sleep(OPEN_FOR_S)
    sandbox.clear_calls()
    probing = threading.Thread(target=aloha, args=(gateway,))
    probing.start()
    eventually(lambda: bool(sandbox.calls("aloha")))
    assert circuit(gateway) == "HALF_OPEN"
    others = [_another(gateway) for _ in range(3)]
    assert others == ["CIRCUIT_OPEN"] * 3, "one probe, and it is on its way"
    probing.join(10)
    assert len(sandbox.calls("aloha")) == 1
    sandbox.clear_faults()
    assert (circuit(gateway), aloha(gateway)) == ("CLOSED", "OK")


def _another(gateway: RunningGateway) -> str:
    """For another customer: the probe's own read would be shared."""
    query = '{ customer(id: "cus_load-0001") { paymentMethods { id } sources { provider state } } }'
    return sources(gateway.query(query).data["customer"])["ALOHA"]


def test_a_probe_that_fails_opens_it_again(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    sandbox.fault("aloha", "drop_before")
    eventually(lambda: aloha(gateway) == "CIRCUIT_OPEN")
    time.sleep(OPEN_FOR_S)
    sandbox.clear_calls()
    assert [aloha(gateway) for _ in range(3)] == ["UNAVAILABLE", "CIRCUIT_OPEN", "CIRCUIT_OPEN"]
    assert len(sandbox.calls("aloha")) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 422, 429])
def test_failures_that_are_not_the_vaults_leave_it_closed(
    status: int, gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    sandbox.fault("aloha", "status", status=status)
    assert "CIRCUIT_OPEN" not in [aloha(gateway) for _ in range(12)]
    assert circuit(gateway) == "CLOSED"


def test_retry_after_is_respected(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    sandbox.fault("aloha", "throttle", retry_after_s=2, times=1)
    assert aloha(gateway) == "THROTTLED"
    began = time.monotonic()
    while time.monotonic() - began < 1.0:
        assert aloha(gateway) == "THROTTLED"
        assert _another(gateway) == "THROTTLED"
    assert len(sandbox.calls("aloha")) == 1, "no call before the vault's Retry-After"
    eventually(lambda: aloha(gateway) == "OK")
    assert circuit(gateway) == "CLOSED"
