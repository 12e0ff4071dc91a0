"""Fixtures for everything that talks to the sandbox over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.node import skipped_for_want
from tests.support.sandbox import RunningSandbox
from tests.support.stores import (  # noqa: F401
    _sqlite_template,
    clock,
    postgres_server,
    postgres_url,
    sqlite_url,
    store,
    store_url,
)
from tests.support.transports import ASKED_FOR, BOTH, every_door_over


@pytest.fixture(scope="session", autouse=True)
def _transport_asked_for() -> Iterator[None]:
    """The transport that the environment names, for tests that do not choose."""
    if ASKED_FOR:
        with every_door_over(BOTH[0]):
            yield
    else:
        yield


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[RunningSandbox]:
    """The four emulators on a real port: one server for each test worker."""
    with RunningSandbox() as running:
        yield running


@pytest.fixture
def sandbox(sandbox_server: RunningSandbox) -> RunningSandbox:
    """The same server, with demo data, no faults, default switches and an empty call log."""
    sandbox_server.reset()
    return sandbox_server


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was skipped for want of Node.js or a browser is said, also where only dots are printed."""
    for line in skipped_for_want(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line)
