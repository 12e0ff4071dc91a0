"""Fixtures of the suites that run on Node.js."""

from tests.support.gateways import _demo_directory, demo_gateway, start_gateway  # noqa: F401
from tests.support.slow_vault import slow  # noqa: F401
