"""The gateway over either transport: the same wallet, calls and error messages."""

from typing import Any

import pytest

from app.http.transports.choice import KINDS, Kind
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, each_vault, patient, sources, upstream
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

WALLET = """{ customer(id: "cus_alex") {
  paymentMethods { __typename id provider label status isDefault ... on Card { brand last4 expiry bin } }
  defaultMethod { id } authStatus isComplete sources { provider state methodCount } } }"""


def wallet(gateway: RunningGateway) -> Any:
    return gateway.data(WALLET)["customer"]


def test_the_wallet_and_its_calls_are_the_same(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    ours, calls = [], []
    for kind in KINDS:
        gateway = start_gateway(**each_vault(transport=kind))
        sandbox.clear_calls()
        ours.append(wallet(gateway))
        calls.append(upstream(sandbox))
    assert ours[0] == ours[1]
    assert len(ours[0]["paymentMethods"]) == 9
    assert calls[0] == calls[1]
    assert set(calls[0]) == {"LOANPRO", "ALOHA", "JPMORGAN", "CASELLE"}


@pytest.mark.parametrize("transport", KINDS)
@pytest.mark.parametrize(
    ("kind", "state"),
    [("hang", "TIMEOUT"), ("drop_before", "UNAVAILABLE"), ("truncate", "UNAVAILABLE"), ("garbage", "UNAVAILABLE")],
)
def test_an_unavailable_vault_affects_only_its_row(
    kind: str, state: str, transport: Kind, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient(*(["ALOHA"] if kind == "hang" else []), transport=transport))
    sandbox.fault("aloha", kind)
    found = sources(wallet(gateway))
    assert found == {"LOANPRO": "OK", "ALOHA": state, "JPMORGAN": "OK", "CASELLE": "OK"}
    sandbox.clear_faults()
    eventually(lambda: set(sources(wallet(gateway)).values()) == {"OK"})
