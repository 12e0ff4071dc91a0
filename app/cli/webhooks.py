"""`vaultgraph webhooks`: lists dead-lettered deliveries and replays them."""

from typing import Any, Final

import click

from app.cli.open_store import CommandFailed, run_with_store, store_settings
from app.cli.operator_log import note, some_of
from app.cli.options import ConfigLocation, source_options
from app.cli.output import JSON, all_pages, fields_of, print_rows
from app.store import Store, Transaction
from app.store.records import DeliveryRecord, DeliveryState
from app.store.webhook_deliveries import replay_delivery

_COLUMNS: Final = ("id", "state", "received_at", "source", "event_type", "attempts", "error")
command = click.Group("webhooks", help="Inspect and replay webhook deliveries that could not be processed.")


@command.command("list", help="List deliveries without their bodies, oldest first.")
@click.option(
    "--state",
    type=click.Choice(["dead", "received", "done", "all"]),
    default="dead",
    help="dead: dead-lettered after the last attempt; received: pending.",
)
@JSON
@source_options
def list_deliveries(source: ConfigLocation, state: str, as_json: bool) -> None:
    wanted = None if state == "all" else DeliveryState(state.upper())
    found = run_with_store(store_settings(source), lambda store: all_pages(store.deliveries.all, wanted))
    print_rows(_COLUMNS, [_row(one) for one in found], as_json=as_json)


def _row(one: DeliveryRecord) -> dict[str, Any]:
    source = f"{one.source}/{one.account}" if one.account else one.source
    return {**fields_of(one, *_COLUMNS), "source": source}


@command.command(help="Process deliveries again. This is idempotent: the gateway rereads the vault.")
@click.argument("deliveries", nargs=-1, metavar="[rcp_...]...")
@click.option("--all-dead", is_flag=True, help="Replay every dead-lettered delivery.")
@source_options
def replay(source: ConfigLocation, deliveries: tuple[str, ...], all_dead: bool) -> None:
    if bool(deliveries) == all_dead:
        raise click.UsageError("name deliveries, or say --all-dead")

    def save(tx: Transaction, wanted: list[str]) -> list[str]:
        due = [one for one in wanted if replay_delivery(tx, one) is not None]
        if due:
            note(tx, "webhooks replay", deliveries=some_of(due))
        return due

    async def work(store: Store) -> tuple[int, list[str]]:
        wanted = list(dict.fromkeys(deliveries))
        if all_dead:
            wanted = [one.id for one in await all_pages(store.deliveries.all, DeliveryState.DEAD)]
        due = await store.transaction(save, wanted)
        return len(wanted), [one for one in wanted if one not in due]

    count, unknown = run_with_store(store_settings(source), work)
    if unknown:
        raise CommandFailed(f"unknown, or neither dead nor done: {', '.join(unknown)}; see `vaultgraph webhooks list`")
    click.echo(f"{count} {'delivery' if count == 1 else 'deliveries'} due again")
