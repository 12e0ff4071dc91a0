"""`docs/sandbox.md` lists every fault kind and every switch of the emulators."""

from pathlib import Path

from app.sandbox.base import SandboxClock
from app.sandbox.faults import FaultKind
from app.sandbox.server import the_four

DOCS = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()


def test_every_fault_kind_has_its_row() -> None:
    assert [kind for kind in FaultKind if f"\n| `{kind}` |" not in DOCS] == []


def test_every_switch_is_listed() -> None:
    rows = [
        f"| {emulator.name} | {' '.join(f'`{name}`' for name in emulator.switches)} |"
        for emulator in the_four(SandboxClock())
    ]
    assert [
        line for line in DOCS.splitlines() if line.startswith(("| loanpro", "| aloha", "| jpmorgan", "| caselle"))
    ] == rows
