"""Renders the matrix as the table of the documentation: faults and operations with the same results share a cell."""

from collections import Counter
from typing import Final

from app.vault.enums import ProviderName
from tests.faults.rules import CAPABILITIES, FAULTS, NEEDS, OPERATIONS, Cell, Fault, Operation

_SHOWN: Final = {
    ProviderName.LOANPRO: "LoanPro",
    ProviderName.ALOHA: "Aloha",
    ProviderName.JPMORGAN: "J.P. Morgan",
    ProviderName.CASELLE: "Caselle",
}


def as_markdown() -> str:
    columns: dict[tuple[str, ...], list[str]] = {}
    for operation in OPERATIONS:
        results = tuple(_result(fault, operation) for fault in FAULTS)
        columns.setdefault(results, []).append(operation.value)
    rows: dict[tuple[str, ...], list[str]] = {}
    for fault, results in zip(FAULTS, zip(*columns, strict=True), strict=True):
        rows.setdefault(results, []).append(fault.label)
    heads = ["fault", *(", ".join(names) for names in columns.values())]
    lines = [heads, ["---"] * len(heads), *(["; ".join(labels), *results] for results, labels in rows.items())]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return "\n".join([table, "", *_unsupported()]).strip()


def _result(fault: Fault, operation: Operation) -> str:
    """What most vaults with the capability give, and in brackets the calls of the others."""
    if not fault.strikes(operation):
        return "-"
    results = {name: Cell(name, fault, operation).expected for name in _SHOWN if _supports(name, operation)}
    ((said, usual), _), *others = Counter((one.said, one.calls) for one in results.values()).most_common()
    assert all(other_said == said for (other_said, _), _ in others), "the table shows one result for all vaults"
    exceptions = [f"{_SHOWN[name]} {one.calls}" for name, one in results.items() if one.calls != usual]
    return f"{said}, {usual}" + (f" ({', '.join(exceptions)})" if exceptions else "")


def _unsupported() -> list[str]:
    return [
        f"- {_SHOWN[name]}, {operation.value}: {Cell(name, FAULTS[0], operation).expected.said}, without a call."
        for operation in OPERATIONS
        for name in _SHOWN
        if not _supports(name, operation)
    ]


def _supports(name: ProviderName, operation: Operation) -> bool:
    return NEEDS[operation] in CAPABILITIES[name]
