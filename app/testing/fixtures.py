"""Fixtures of the contract suite, for import by a conftest: one adapter at a time, over real HTTP.

The conftest defines `pytest_generate_tests`, which calls `parametrize_cases`, and the fixture `sandbox`, a
`RunningSandbox` with the vault behind it. It overrides `case` if the vault chooses its customers' refs itself.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from app.providers.registry import open_provider, specs
from app.settings.model import load_settings
from app.testing.case import VaultCase
from app.testing.sandbox import RunningSandbox
from app.vault.provider import Call, VaultProvider

__all__ = ["Build", "build", "call", "case", "parametrize_cases", "vault"]

_KEYS: Final = {"id_key": "contract-id-key-" + "k" * 32, "digest_key": "contract-digest-key-" + "d" * 32}
_ROOT: Final = ("raw_cards", "network_tokens")

Build = Callable[..., VaultProvider]


def parametrize_cases(metafunc: pytest.Metafunc, cases: Sequence[VaultCase]) -> None:
    """Run each test that uses a vault with each case; `method_kind` and `change` are names in the case."""
    marks = metafunc.definition.iter_markers("parametrize")
    marked = {name.strip() for mark in marks for name in _names(mark.args[0])}
    wanted = set(metafunc.fixturenames) - marked
    if "case" not in wanted:
        return
    for name, of in (("method_kind", "new_methods"), ("change", "changes")):
        if name in wanted:
            pairs = [(case, one) for case in cases for one in getattr(case, of)]
            ids = [f"{case.name.value}-{one}" for case, one in pairs]
            metafunc.parametrize(("case", name), pairs, indirect=["case"], ids=ids)
            return
    metafunc.parametrize("case", cases, indirect=True, ids=[case.name.value for case in cases])


def _names(names: str | Sequence[str]) -> Sequence[str]:
    return names.split(",") if isinstance(names, str) else names


@pytest.fixture
def case(request: pytest.FixtureRequest) -> VaultCase:
    found: VaultCase = request.param
    return found


@pytest.fixture
async def build(sandbox: RunningSandbox, tmp_path: Path) -> AsyncIterator[Build]:
    """`build(case, **settings)`: the adapter as the gateway builds it, with the sandbox's credentials."""
    async with AsyncExitStack() as opened:

        def made(case: VaultCase, **changes: Any) -> VaultProvider:
            given = sandbox.credentials(case.name)
            sections = specs()[case.name].sandbox
            own = {"base_url": given["base_url"]} if sections is None else sections(given)
            section = {"enabled": True, "deadline_s": 10.0, "write_deadline_s": 10.0, **own, **case.settings, **changes}
            root = {name: section.pop(name) for name in _ROOT if name in section}
            base = {"mode": "development", "data_dir": str(tmp_path), "network_tokens": True, **_KEYS}
            settings = load_settings(None, {}, base, **root, **{case.name.value: section})
            vault = open_provider(case.name, settings)
            opened.push_async_callback(vault.close)
            return vault

        yield made


@pytest.fixture
def vault(build: Build, case: VaultCase) -> VaultProvider:
    return build(case)


@pytest.fixture
async def call() -> Call:
    return Call(deadline_at=asyncio.get_running_loop().time() + 10, request_id="contract")
