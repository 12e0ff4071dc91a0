"""Command line of `vaultgraph payments`."""

from pathlib import Path

import click

_CONFIG = click.option(
    "--config", "config_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=None
)
_DATA_DIR = click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), default=None, help="As for `dev`."
)


@click.group(help="Resolve payments that need an operator.")
def payments() -> None:
    pass


@payments.command(
    "list", help="List payments, one per line, oldest first: id, state, vault, vault's id, total, reference."
)
@click.option("--state", default="UNKNOWN", show_default=True, help="Payment state to list.")
@_CONFIG
@_DATA_DIR
def list_payments(state: str, config_file: Path | None, data_dir: Path | None) -> None:
    from app.cli.commands.payments import run_list

    run_list(state, config_file=config_file, data_dir=data_dir)


@payments.command(help="Report the outcome of a payment whose capture got no reply. Look it up at the vault first.")
@click.argument("payment_id", metavar="pay_...")
@click.argument("end", type=click.Choice(["completed", "failed"]))
@_CONFIG
@_DATA_DIR
def resolve(payment_id: str, end: str, config_file: Path | None, data_dir: Path | None) -> None:
    from app.cli.commands.payments import run_resolve

    run_resolve(payment_id, end, config_file=config_file, data_dir=data_dir)
