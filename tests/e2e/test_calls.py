"""The number of calls per request does not rise (reads: by a tenth) without a change to the committed table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.calls.__main__ import TRANSPORTS, saved

ROOT = Path(__file__).parents[2]
READS, MUTATIONS = 1.10, 1.15  # background work may end within a mutation, so its figures vary by a few per cent
HOPS = 2  # more results from other threads; a mutation has one to six


@pytest.mark.timeout(600)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_request_makes_more_calls_than_the_table_says(transport: str) -> None:
    command = [sys.executable, "-m", "bench.calls", "--json", "--transport", transport]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert run.returncode == 0, run.stderr
    found, table = json.loads(run.stdout), saved()[transport]
    assert found.keys() == table.keys()
    risen = {
        f"{case} {figure}": (found[case][figure], most)
        for case, row in table.items()
        for figure, most in row.items()
        if found[case][figure] > _most(case, figure, most)
    }
    hint = f"if it is worth it: python -m bench.calls --save --transport {transport}"
    assert not risen, f"counted, and in bench/calls/table.json: {risen}; {hint}"


def _most(case: str, figure: str, most: int) -> float:
    if figure == "thread_hops":
        return most + HOPS
    return most * (MUTATIONS if case.startswith("mutation") else READS)
