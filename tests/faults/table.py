"""Renders the matrix as the table of the documentation."""

from collections.abc import Iterator

from app.vault.enums import ProviderName
from tests.faults.rules import FAULTS, OPERATIONS, Cell, Fault, Operation

_SHOWN = {
    ProviderName.LOANPRO: "LoanPro",
    ProviderName.ALOHA: "Aloha",
    ProviderName.JPMORGAN: "J.P. Morgan",
    ProviderName.CASELLE: "Caselle",
}


def as_markdown() -> str:
    return "\n\n".join("\n".join(_of(operation)) for operation in OPERATIONS)


def _of(operation: Operation) -> Iterator[str]:
    yield f"### {operation.value.capitalize()}: {operation.about}"
    yield ""
    yield f"| fault | {' | '.join(_SHOWN.values())} |"
    yield f"|---|{'---|' * len(_SHOWN)}"
    for fault in FAULTS:
        if not fault.strikes(operation):
            continue
        yield f"| {fault.label} | {' | '.join(_cell(fault, operation, name) for name in _SHOWN)} |"


def _cell(fault: Fault, operation: Operation, provider: ProviderName) -> str:
    expected = Cell(provider, fault, operation).expected
    return f"{expected.said}, {expected.calls} call{'s' * (expected.calls != 1)}"
