"""Every vault under every fault: result, calls and duration."""

import pytest

from app.sandbox.faults import FaultKind
from bench.pages import section
from tests.faults.conftest import SeenIn
from tests.faults.rules import FAULTS, Cell, Expected, cells
from tests.faults.run import MARGIN_S, longest_s
from tests.faults.table import as_markdown

_CELLS = [pytest.param(cell, id=cell.id, marks=pytest.mark.xdist_group(cell.fault.label)) for cell in cells()]
_TAKES_COMMIT = {FaultKind.STATUS, FaultKind.HANG, FaultKind.GARBAGE}


def test_matrix_has_every_fault() -> None:
    assert {fault.kind for fault in FAULTS} == set(FaultKind)
    assert {fault.kind for fault in FAULTS if fault.fields.get("commit")} == _TAKES_COMMIT
    assert len({fault.label for fault in FAULTS}) == len(FAULTS)


def test_documentation_matches_the_matrix() -> None:
    """To fix: ``python -m bench.fault_matrix --page``."""
    assert section("fault matrix") == as_markdown()


@pytest.mark.parametrize("cell", _CELLS)
def test_cell_matches_the_rules(cell: Cell, seen_in: SeenIn) -> None:
    seen = seen_in(cell)
    assert Expected(seen.said, seen.calls, seen.effects) == cell.expected
    assert seen.seconds < longest_s(cell) + MARGIN_S
