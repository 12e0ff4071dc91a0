"""Fixtures of the tests over HTTP."""

from tests.support.gateways import _demo_directory, demo_gateway, start_gateway  # noqa: F401
