"""The number of calls per request does not rise (reads: by a tenth) without a change to the committed table."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.calls.__main__ import TRANSPORTS, saved

ROOT = Path(__file__).parents[2]
READS, MUTATIONS = 1.10, 1.15  # background work may end within a mutation, so its figures vary by a few per cent
HOPS = 2  # more results from other threads; a mutation has one to six


@pytest.fixture(scope="module")
def counting() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """A process per transport. They run together, because most of the time each waits until its gateway is idle."""
    command = [sys.executable, "-m", "bench.calls", "--json", "--transport"]
    with ExitStack() as running:
        started = {}
        for transport in TRANSPORTS:
            process = subprocess.Popen(
                [*command, transport], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            started[transport] = running.enter_context(process)
            running.callback(process.kill)
        yield started


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("calls")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_request_makes_more_calls_than_the_table_says(
    transport: str, counting: dict[str, subprocess.Popen[str]]
) -> None:
    output, errors = counting[transport].communicate(timeout=500)
    assert counting[transport].returncode == 0, errors
    found, table = json.loads(output), saved()[transport]
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
