"""Fixtures for everything that talks to the sandbox over HTTP."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn.server
from hypothesis import HealthCheck, settings

from tests.support.node import skipped_for_want
from tests.support.sandbox import RunningSandbox
from tests.support.shared import SharedServer
from tests.support.stores import (  # noqa: F401
    POSTGRES_ADDRESS,
    _sqlite_template,
    clock,
    postgres_server,
    postgres_url,
    postgres_with_template,
    sqlite_url,
    store,
    store_url,
)
from tests.support.transports import BOTH, CHOSEN, force_transport

# Properties get the same examples in every run, so that no run fails by chance; `--hypothesis-profile=random` finds
# others. A busy machine must not fail one either, by the time of one example or by that of generating them.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", settings.get_profile("random"), derandomize=True)
settings.load_profile("suite")


class _PromptAsyncio:
    """`asyncio` for `uvicorn.server`. uvicorn checks every 0.1 s whether it should stop, and stops in steps of 0.1 s;
    here both are 0.01 s, because a test run stops thousands of servers.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


uvicorn.server.asyncio = _PromptAsyncio()  # type: ignore[assignment, attr-defined]


def pytest_configure(config: pytest.Config) -> None:
    """Offer one PostgreSQL to all workers; it starts when a test asks for it."""
    given = getattr(config, "workerinput", None)
    if given is None:
        server = SharedServer("PostgreSQL", postgres_with_template)
        config.add_cleanup(server.close)
        config.stash[POSTGRES_ADDRESS] = server.address
    else:
        config.stash[POSTGRES_ADDRESS] = given["postgres"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Of pytest-xdist, for ``-n auto``: one worker more than processors, because many tests wait for a deadline."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Of pytest-xdist: data for a new worker."""
    node.workerinput["postgres"] = node.config.stash[POSTGRES_ADDRESS]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Append each test's group to its id, from which pytest-xdist reads it. pytest-xdist 3.8 does so in a way that
    pytest 9.2 ignores: https://github.com/pytest-dev/pytest-xdist/issues/1386.
    """
    for item in items if getattr(config.option, "loadgroup", False) else ():
        suffix = _group(item)
        if suffix and not item.nodeid.endswith(f"@{suffix}"):
            item._id = type(item._id).parse(f"{item.nodeid}@{suffix}")


def _group(item: pytest.Item) -> str:
    """Its marks, or its file if a fixture is shared by the file's tests, so that the fixture is made once."""
    if marks := sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")}):
        return "_".join(marks)
    fixtures = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    is_shared = any(definitions[-1].scope == "module" for definitions in fixtures.values())
    return item.path.stem if is_shared else ""


@pytest.fixture(scope="session", autouse=True)
def _transport_asked_for() -> Iterator[None]:
    """The transport that the environment names, for tests that do not choose."""
    if CHOSEN:
        with force_transport(BOTH[0]):
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
    """Report the tests skipped for want of Node.js or a browser, also where only dots are printed."""
    for line in skipped_for_want(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line)
