"""One gateway for all hostile inputs of a test worker, and the check that nothing was sent upstream."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import GraphQLReply, RunningGateway
from tests.support.gateways import each_vault
from tests.support.sandbox import RunningSandbox

PLENTY = {"requests_per_s": 1e6, "requests_burst": 1e6, "cost_per_s": 1e6, "cost_burst": 1e6}


@pytest.fixture(scope="session")
def hostile_gateway(
    sandbox_server: RunningSandbox, _demo_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    """Without a cache that could hide a call or a rate limit that could hide a refusal."""
    folder = tmp_path_factory.mktemp("hostile") / "data"
    shutil.copytree(_demo_directory, folder)
    with RunningGateway(
        sandbox_server.url, folder, rate={"staff": PLENTY, "end_user": PLENTY}, **each_vault(fresh_for_s=0)
    ) as running:
        yield running


@pytest.fixture
def hostile(hostile_gateway: RunningGateway, sandbox: RunningSandbox) -> Iterator[RunningGateway]:
    """The gateway; afterwards no vault may have been called, and the gateway must be healthy."""
    yield hostile_gateway
    assert sandbox.calls(token_routes=True) == []
    assert hostile_gateway.data("{viewer{partner}}")


def refused(reply: GraphQLReply, status: int, code: str) -> list[dict[str, Any]]:
    """The reply is this refusal, in JSON, without data, stack or host name."""
    assert (reply.status, reply.codes[:1]) == (status, [code]), reply.raw[:500]
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.body.get("data") is None
    for leak in (b"Traceback", b"/app/", b"site-packages", b".py", b"127.0.0.1", b"sqlite", b"0x"):
        assert leak not in reply.raw
    return reply.errors
