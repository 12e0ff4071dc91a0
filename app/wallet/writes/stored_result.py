"""The stored result of a write, as JSON, for replays. It contains no secret and no name."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from app.store.records import MethodAddress, OperationRecord, OperationState, WriteOutcome
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.wallet.commands import ItemResult, WriteResult
from app.wallet.problems import ProblemCode, WriteProblem

Json = dict[str, Any]


def to_json(result: WriteResult) -> Json:
    """Everything except the operation, next actions (returned once) and the link (stored in the directory)."""
    kept: Json = {
        "problems": [problem_row(problem) for problem in result.problems],
        "warnings": [problem_row(problem) for problem in result.warnings],
        "was_duplicate": result.was_duplicate,
        "customer_id": result.customer_id,
        "payment_id": result.payment_id,
        "lookalikes": [from_address(one) for one in result.lookalikes],
        "link": result.link.provider.value if result.link else None,
        "items": [_item_row(one) for one in result.items],
    }
    for name in ("method", "previous", "replaced", "deleted"):
        kept[name] = from_address(getattr(result, name))
    return {name: value for name, value in kept.items() if value not in (None, [], False)}


def from_json(operation: OperationRecord, *, replayed: bool) -> WriteResult:
    kept = operation.result
    return WriteResult(
        operation=operation,
        replayed=replayed,
        problems=tuple(row_problem(one) for one in kept.get("problems", ())),
        warnings=tuple(row_problem(one) for one in kept.get("warnings", ())),
        # The operation's own: its customer may have been merged into another since.
        customer_id=kept.get("customer_id") and (operation.customer_id or kept["customer_id"]),
        payment_id=kept.get("payment_id"),
        method=to_address(kept.get("method")),
        was_duplicate=kept.get("was_duplicate", False),
        previous=to_address(kept.get("previous")),
        replaced=to_address(kept.get("replaced")),
        deleted=to_address(kept.get("deleted")),
        lookalikes=tuple(found for one in kept.get("lookalikes", ()) if (found := to_address(one))),
        items=tuple(_row_item(one) for one in kept.get("items", ())),
    )


def _item_row(item: ItemResult) -> Json:
    return {
        "state": item.state.value,
        "outcome": item.outcome.value,
        "method": from_address(item.method),
        "was_duplicate": item.was_duplicate,
        "problems": [problem_row(problem) for problem in item.problems],
    }


def _row_item(kept: Mapping[str, Any]) -> ItemResult:
    return ItemResult(
        state=OperationState(kept["state"]),
        outcome=WriteOutcome(kept["outcome"]),
        method=to_address(kept["method"]),
        was_duplicate=kept["was_duplicate"],
        problems=tuple(row_problem(one) for one in kept["problems"]),
    )


def linked_provider(operation: OperationRecord) -> ProviderName | None:
    named = operation.result.get("link")
    return ProviderName(named) if named else None


def from_address(address: MethodAddress | None) -> list[str] | None:
    return None if address is None else [address.provider.value, address.customer_ref, address.method_ref]


def to_address(kept: Sequence[str] | None) -> MethodAddress | None:
    if kept is None:
        return None
    provider, customer_ref, method_ref = kept
    return MethodAddress(ProviderName(provider), CustomerRef(customer_ref), MethodRef(method_ref))


def problem_row(problem: WriteProblem) -> Json:
    """A problem as stored in a result, or in a row of `operation.results`."""
    kept = {each.name: getattr(problem, each.name) for each in fields(problem)}
    kept["path"] = list(problem.path)
    kept["existing"] = from_address(problem.existing)
    return {name: value for name, value in kept.items() if value not in (None, [], False)}


def row_problem(kept: Mapping[str, Any]) -> WriteProblem:
    outcome, provider = kept.get("outcome"), kept.get("provider")
    return WriteProblem(
        **{
            **kept,
            "code": ProblemCode(kept["code"]),
            "path": tuple(kept.get("path", ())),
            "provider": ProviderName(provider) if provider else None,
            "outcome": WriteOutcome(outcome) if outcome else None,
            "existing": to_address(kept.get("existing")),
        }
    )
