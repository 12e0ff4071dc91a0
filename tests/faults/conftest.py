"""Runs the matrix once per fault, for all of its cells."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.rules import Cell
from tests.faults.run import Runner, Seen
from tests.support.gateways import _demo_directory  # noqa: F401
from tests.support.sandbox import RunningSandbox

SeenIn = Callable[[Cell], Seen]


@pytest.fixture(scope="session")
def seen_in(sandbox_server: RunningSandbox, _demo_directory: Path) -> SeenIn:  # noqa: F811
    """``seen_in(cell)``: the result of a cell. The first cell of a fault runs all the fault's cells."""
    seen: dict[Cell, Seen] = {}

    def look(cell: Cell) -> Seen:
        if cell not in seen:
            seen.update(Runner(sandbox_server, _demo_directory, cell.fault).run())
        return seen[cell]

    return look
