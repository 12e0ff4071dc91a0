"""Fixtures of the security tests."""

from tests.security.hostile import hostile, hostile_gateway  # noqa: F401
from tests.support.gateways import _demo_directory, demo_gateway, start_gateway  # noqa: F401
