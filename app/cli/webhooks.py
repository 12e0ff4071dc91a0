"""Command line of `vaultgraph webhooks`."""

from pathlib import Path

import click

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_DATA_DIR = click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), default=None, help="Same as for `vaultgraph dev`."
)
_CONFIG = click.option("--config", "config_file", type=_FILE, default=None, envvar="VAULTGRAPH_CONFIG")


@click.group(help="Inspect and replay webhook deliveries that could not be processed.")
def webhooks() -> None:
    pass


@webhooks.command("list", help="List deliveries, one per line, oldest first.")
@click.option(
    "--state",
    type=click.Choice(["dead", "received", "done", "all"]),
    default="dead",
    help="dead: dead-lettered after the last attempt; received: pending.",
)
@_CONFIG
@_DATA_DIR
def webhooks_list(state: str, config_file: Path | None, data_dir: Path | None) -> None:
    from app.cli.commands.webhooks import run_list
    from app.store.records import DeliveryState

    run_list(config_file, data_dir, None if state == "all" else DeliveryState(state.upper()))


@webhooks.command("replay", help="Process deliveries again. This is idempotent: the gateway rereads the vault.")
@click.argument("deliveries", nargs=-1, metavar="[rcp_...]...")
@click.option("--all-dead", is_flag=True, help="Replay every dead-lettered delivery.")
@_CONFIG
@_DATA_DIR
def webhooks_replay(
    deliveries: tuple[str, ...], all_dead: bool, config_file: Path | None, data_dir: Path | None
) -> None:
    from app.cli.commands.webhooks import run_replay

    if bool(deliveries) == all_dead:
        raise click.UsageError("name deliveries, or say --all-dead")
    run_replay(config_file, data_dir, deliveries, all_dead=all_dead)
