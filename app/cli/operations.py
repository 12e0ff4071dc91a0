"""`vaultgraph operations`: writes in the journal, for an operator who must find out what became of them."""

from typing import Any, Final

import click

from app.cli.open_store import CommandFailed, run_with_store, store_settings
from app.cli.options import ConfigLocation, source_options
from app.cli.output import JSON, all_pages, fields_of, print_json, print_rows
from app.settings.model import Settings
from app.store import Store
from app.store.records import OperationRecord, OperationState, ResultRow

_COLUMNS: Final = ("id", "state", "needs_operator", "created_at", "mutation", "vault", "customer_id", "caller")
_ROW_COLUMNS: Final = ("row", "vault", "state", "outcome", "customer_ref", "payment_method_id", "code", "message")
_UNSETTLED: Final = (OperationState.PENDING, OperationState.UNKNOWN)
command = click.Group("operations", help="Find writes in the journal, first of all those whose outcome is unknown.")


@command.command("list", help="List operations, oldest first. needs_operator: no reconciliation will decide it.")
@click.option(
    "--state",
    type=click.Choice(["unsettled", *OperationState], case_sensitive=False),
    default="unsettled",
    help="Operation state to list; unsettled: PENDING and UNKNOWN.",
)
@JSON
@source_options
def list_operations(source: ConfigLocation, state: str, as_json: bool) -> None:
    wanted = _UNSETTLED if state == "unsettled" else (OperationState(state),)

    async def work(store: Store) -> list[OperationRecord]:
        found = [one for one_state in wanted for one in await all_pages(store.journal.in_state, one_state)]
        return sorted(found, key=lambda one: one.id)

    rows = [_shown(one) for one in run_with_store(store_settings(source), work)]
    print_rows(_COLUMNS, rows, as_json=as_json)


@command.command(help="Show one operation: its times, its errors, and the result of each vault or row.")
@click.argument("operation_id", metavar="op_...")
@JSON
@source_options
def show(source: ConfigLocation, operation_id: str, as_json: bool) -> None:
    settings = store_settings(source)

    async def work(store: Store) -> tuple[OperationRecord | None, list[ResultRow]]:
        rows: list[ResultRow] = []
        has_next = True
        while has_next:
            page = await store.journal.results(operation_id, after=rows[-1].row if rows else -1)
            rows += page.rows
            has_next = page.has_next
        return await store.journal.operation(operation_id), rows

    operation, rows = run_with_store(settings, work)
    if operation is None:
        raise CommandFailed("there is no such operation: see `vaultgraph operations list`")
    results = _results(settings, rows)
    if as_json:
        print_json({**_shown(operation), "errors": _errors(operation), "results": results})
        return
    fields = [{"field": name, "value": value} for name, value in _shown(operation).items()]
    fields += [{"field": "error", "value": f"{one['code']}: {one['message']}"} for one in _errors(operation)]
    print_rows(("field", "value"), fields, as_json=False)
    if results:
        print_rows(_ROW_COLUMNS, results, as_json=False)


def _shown(one: OperationRecord) -> dict[str, Any]:
    """Everything that helps to find the write at its vault; the intent has card data and is left out."""
    return {
        "id": one.id,
        "state": one.state.value,
        "outcome": one.outcome.value if one.outcome else None,
        "needs_operator": one.state is OperationState.UNKNOWN and one.reconcile_at is None,
        "mutation": one.mutation,
        "vault": one.provider.value if one.provider else None,
        "customer_id": one.customer_id,
        "payment_id": one.result.get("payment_id"),
        **fields_of(one, "caller", "request_id", "created_at", "sent_at", "finished_at", "reconcile_at"),
        "lookups": one.looks,
    }


def _errors(one: OperationRecord) -> list[dict[str, Any]]:
    return [
        {"code": problem["code"], "message": problem["message"], "path": problem.get("path", [])}
        for problem in one.result.get("problems", ())
    ]


def _results(settings: Settings, rows: list[ResultRow]) -> list[dict[str, Any]]:
    from app.providers.registry import canonical_ref
    from app.wallet.ids import Ids

    ids = Ids(settings.id_key.reveal(), canonical_ref=canonical_ref) if settings.id_key else None
    return [
        {
            "row": row.row,
            "vault": row.provider.value,
            "state": row.state.value,
            "outcome": row.outcome.value,
            "customer_ref": row.customer_ref,
            "payment_method_id": ids.encode(row.provider, row.customer_ref, row.method_ref)
            if ids and row.customer_ref and row.method_ref
            else None,
            "code": row.error["code"] if row.error else None,
            "message": row.error["message"] if row.error else None,
        }
        for row in rows
    ]
