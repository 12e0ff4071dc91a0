"""Run every cell of the fault matrix and print the table.

    python -m bench.fault_matrix [--page]

Fails, without changing the page, if a cell differs from the rules.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from bench.pages import put_section
from tests.faults.rules import FAULTS, Cell
from tests.faults.run import MARGIN_S, Runner, Seen, longest_s
from tests.faults.table import as_markdown
from tests.support.gateway import RunningGateway
from tests.support.sandbox import RunningSandbox


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--page", action="store_true", help="write the table into docs/appendix/reliability.md")
    chosen = options.parse_args()
    began = time.monotonic()
    seen = run_all()
    wrong = [complaint for cell, one in seen.items() if (complaint := complaint_about(cell, one))]
    table = as_markdown()
    print(table)
    print(f"\n{len(seen)} cells in {time.monotonic() - began:.0f} s, {len(wrong)} different from the rules")
    if wrong:
        sys.exit("\n".join(wrong))
    if chosen.page:
        put_section("fault matrix", table)


def run_all() -> dict[Cell, Seen]:
    seen: dict[Cell, Seen] = {}
    with tempfile.TemporaryDirectory() as name, RunningSandbox() as sandbox:
        folder = Path(name) / "demo"
        with RunningGateway(sandbox.url, folder):
            pass  # links the demo customers
        for fault in FAULTS:
            seen.update(Runner(sandbox, folder, fault).run())
            print(f"{fault.label}: done", file=sys.stderr)
    return seen


def complaint_about(cell: Cell, seen: Seen) -> str | None:
    expected = cell.expected
    if (seen.said, seen.calls) != (expected.said, expected.calls):
        return f"{cell.id}: {seen.said}, {seen.calls} calls; expected {expected.said}, {expected.calls} calls"
    if seen.seconds >= longest_s(cell) + MARGIN_S:
        return f"{cell.id}: took {seen.seconds:.2f} s"
    return None


if __name__ == "__main__":
    main()
