"""Runs the suite of `app.testing` for the four built-in vaults, over both transports."""

from collections.abc import Iterator

import pytest

from app.http.transports.choice import Kind
from app.testing.fixtures import build, call, case, parametrize_cases, vault  # noqa: F401
from tests.contract.cases import CASES
from tests.support.transports import BOTH, force_transport


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize_cases(metafunc, CASES)


@pytest.fixture(params=BOTH, autouse=True)
def transport(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """Run every test over both transports."""
    with force_transport(request.param):
        yield request.param
