"""`docs/sandbox.md` lists every fault kind and every switch as the emulators declare it."""

from pathlib import Path

from app.sandbox.base import SandboxClock
from app.sandbox.faults import FaultKind
from app.sandbox.server import the_four

DOCS = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()


def test_every_fault_kind_has_its_row() -> None:
    assert [kind for kind in FaultKind if f"\n| `{kind}` |" not in DOCS] == []


def test_every_switch_has_its_row() -> None:
    rows = [
        f"| {emulator.name} | `{name}` | {' '.join(f'`{value}`' for value in switch.allowed)} | {switch.about} |"
        for emulator in the_four(SandboxClock())
        for name, switch in emulator.switches.items()
    ]
    shown = [line for line in DOCS.splitlines() if line.startswith(("| loanpro", "| aloha", "| jpmorgan", "| caselle"))]
    assert shown == rows
