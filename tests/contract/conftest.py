"""One real adapter at a time, over real HTTP to the sandbox's emulator."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from app.commands.dev import dev_settings
from app.http.choice import Kind
from app.providers.registry import build_providers
from app.vault.provider import Call, VaultProvider
from tests.contract.case import VaultCase
from tests.contract.cases import CASES
from tests.support.sandbox import RunningSandbox
from tests.support.transports import BOTH, every_door_over

_KEYS = {"id_key": "contract-id-key-" + "k" * 32, "digest_key": "contract-digest-key-" + "d" * 32}

Build = Callable[..., VaultProvider]


@pytest.fixture(params=BOTH, autouse=True)
def transport(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """Every promise is kept over both transports."""
    with every_door_over(request.param):
        yield request.param


@pytest.fixture(params=CASES, ids=lambda case: case.name.value)
def case(request: pytest.FixtureRequest) -> VaultCase:
    found: VaultCase = request.param
    return found


@pytest.fixture
async def build(sandbox: RunningSandbox, tmp_path: Path) -> AsyncIterator[Build]:
    """`build(case, **settings)`: the adapter as the gateway builds it, from the sandbox's own credentials."""
    credentials = sandbox.credentials()
    async with AsyncExitStack() as opened:

        def made(case: VaultCase, **changes: Any) -> VaultProvider:
            section = {"deadline_s": 10.0, "write_deadline_s": 10.0, **case.settings, **changes}
            root = {name: section.pop(name) for name in ("raw_cards", "network_tokens") if name in section}
            settings = dev_settings(
                credentials, _KEYS, tmp_path, None, environ={}, **root, **{case.name.value: section}
            )
            vault = build_providers(settings)[case.name]
            opened.push_async_callback(vault.close)
            return vault

        yield made
        await opened.aclose()


@pytest.fixture
def vault(build: Build, case: VaultCase) -> VaultProvider:
    return build(case)


@pytest.fixture
async def call() -> Call:
    return Call(deadline_at=asyncio.get_running_loop().time() + 10, request_id="contract")
