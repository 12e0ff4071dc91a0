"""A gateway with one vault that answers only when the test lets it."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, patient, upstream
from tests.support.sandbox import RunningSandbox
from tests.support.vault_proxy import VaultProxy

FAST = {"ALOHA", "JPMORGAN", "CASELLE"}


class SlowVault:
    """`gate`: LoanPro's replies wait until it is set."""

    def __init__(self, gateway: RunningGateway, gate: threading.Event, sandbox: RunningSandbox) -> None:
        self.gateway, self.gate, self._sandbox = gateway, gate, sandbox

    def close(self) -> None:
        self.gate.clear()
        self._sandbox.clear_calls()

    def calls(self) -> dict[str, int]:
        return upstream(self._sandbox)


@pytest.fixture
def slow(start_gateway: StartGateway, sandbox: RunningSandbox) -> Iterator[SlowVault]:
    gate = threading.Event()

    def edit(body: Any) -> Any:
        gate.wait(30)
        return body

    with VaultProxy(sandbox.credentials("loanpro")["base_url"], edit) as proxy:
        settings = patient()
        settings["loanpro"] |= {"base_url": proxy.url}
        try:
            yield SlowVault(start_gateway(**settings), gate, sandbox)
        finally:
            gate.set()


def providers(methods: Any) -> set[str]:
    return {one["provider"] for one in methods}
