"""Fixtures that start gateways with demo customers without creating these each time."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import RunningGateway
from tests.support.sandbox import RunningSandbox

StartGateway = Callable[..., RunningGateway]
HURRIED_S = 0.8
PROVIDERS = ("LOANPRO", "ALOHA", "JPMORGAN", "CASELLE")


@pytest.fixture(scope="session")
def _demo_directory(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory in which the demo customers are linked."""
    folder = tmp_path_factory.mktemp("demo")
    with RunningGateway(sandbox_server.url, folder):
        pass
    return folder


@pytest.fixture
def start_gateway(sandbox: RunningSandbox, _demo_directory: Path, tmp_path: Path) -> Iterator[StartGateway]:
    """``start_gateway(**settings)``: a gateway for one test, with the demo customers, stopped after the test."""
    with ExitStack() as running:
        count = 0

        def start(**overrides: Any) -> RunningGateway:
            nonlocal count
            count += 1
            folder = tmp_path / f"gateway-{count}"
            shutil.copytree(_demo_directory, folder)
            return running.enter_context(RunningGateway(sandbox.url, folder, **overrides))

        yield start


@pytest.fixture
def demo_gateway(start_gateway: StartGateway) -> RunningGateway:
    """A gateway as `vaultgraph dev` runs it, with deadlines that a busy machine meets."""
    return start_gateway(**patient(fresh_for_s=60))


def each_vault(**settings: Any) -> dict[str, Any]:
    """The same settings for every vault, as `start_gateway` takes them."""
    return {name.lower(): dict(settings) for name in PROVIDERS}


def patient(*hurried: str, **settings: Any) -> dict[str, Any]:
    """Deadlines that a busy machine meets, and no cached replies; the named vaults get 0.8 s each."""
    every = each_vault(**{"deadline_s": 15, "fresh_for_s": 0, **settings})
    for name in hurried:
        every[name.lower()]["deadline_s"] = HURRIED_S
    return {"request_deadline_s": 20, **every}


def sources(data: Any) -> dict[str, str]:
    """Each vault's state, from a customer's `sources { provider state }`."""
    return {row["provider"]: row["state"] for row in data["sources"]}


def upstream(sandbox: RunningSandbox) -> dict[str, int]:
    """The number of calls per vault since the last reset, without OAuth tokens."""
    found: dict[str, int] = {}
    for row in sandbox.calls():
        name = row["provider"].upper()
        found[name] = found.get(name, 0) + 1
    return found


def status_calls(sandbox: RunningSandbox) -> list[str]:
    """The J.P. Morgan methods whose 3-D Secure status was read, in order of arrival."""
    paths = [row["path"] for row in sandbox.calls("jpmorgan")]
    return [path.split("/")[-2] for path in paths if path.endswith("/status")]
