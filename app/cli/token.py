"""`vaultgraph token`: prints a token for development and scripts, alone on the last line."""

from pathlib import Path

import click

from app.api.auth.claims import END_USER_SCOPES
from app.api.auth.development import DEFAULT_SCOPES, KEY_FILE, DevTokens
from app.cli.options import DATA_DIR, SCOPES, ConfigLocation, TakesScopes, checked_scopes
from app.cli.startup_errors import usable_folder
from app.wallet.ids import IdKind, kind_of


@click.command(
    "token",
    cls=TakesScopes,
    help="Print a token for the `dev` gateway of the same data directory. [default: staff, every scope but pan:write]",
)
@SCOPES
@click.option(
    "--customer", metavar="cus_...", default=None, help="Issue an end-user token that sees only this customer."
)
@DATA_DIR
def command(scopes: tuple[str, ...], customer: str | None, data_dir: Path | None) -> None:
    if customer is not None and kind_of(customer) is not IdKind.CUSTOMER:
        raise click.BadParameter("a customer's id begins with cus_", param_hint="--customer")
    folder = usable_folder(ConfigLocation(data_dir=data_dir).folder)
    is_new = not (folder / KEY_FILE).exists()
    tokens = DevTokens.open(folder)
    if is_new:
        click.echo(f"new key in {folder}: only a `vaultgraph dev` that uses this directory accepts the token", err=True)
    usual = DEFAULT_SCOPES if customer is None else DEFAULT_SCOPES & END_USER_SCOPES
    click.echo(tokens.mint(checked_scopes(scopes) or usual, customer))
