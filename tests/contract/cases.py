"""The cases of all registered vaults: each has a module ``case_{name}`` with a `VaultCase` of that name."""

from importlib import import_module
from typing import Final

from app.providers.registry import specs
from app.testing.case import VaultCase

CASES: Final[tuple[VaultCase, ...]] = tuple(
    getattr(import_module(f"tests.contract.case_{name.value}"), name.name) for name in specs()
)
