"""The words of `vaultgraph payments`."""

from pathlib import Path

import click


@click.group(help="Payments that only a person can decide.")
def payments() -> None:
    pass


@payments.command(help="Say how a payment ended whose capture was never answered: look it up at the vault first.")
@click.argument("payment_id", metavar="pay_...")
@click.argument("end", type=click.Choice(["completed", "failed"]))
@click.option("--config", "config_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=None)
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), default=None, help="As for `dev`.")
def resolve(payment_id: str, end: str, config_file: Path | None, data_dir: Path | None) -> None:
    from app.commands.payments import run_resolve

    run_resolve(payment_id, end, config_file=config_file, data_dir=data_dir)
