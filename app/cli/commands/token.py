"""`vaultgraph token`: prints a token for development and scripts, alone on the last line."""

from collections.abc import Sequence
from pathlib import Path

import click

from app.api.auth.claims import END_USER_SCOPES
from app.api.auth.development import DEFAULT_SCOPES, DevTokens
from app.cli.commands.sandbox import DEFAULT_DATA_DIR
from app.cli.commands.startup_errors import usable_folder
from app.wallet.caller import ALL_SCOPES
from app.wallet.ids import IdKind, kind_of


def run_token(*, data_dir: Path | None, scopes: Sequence[str], customer: str | None) -> None:
    if customer is not None and kind_of(customer) is not IdKind.CUSTOMER:
        raise click.BadParameter("a customer's id begins with cus_", param_hint="--customer")
    tokens = DevTokens.open(usable_folder(data_dir or DEFAULT_DATA_DIR))
    usual = DEFAULT_SCOPES if customer is None else DEFAULT_SCOPES & END_USER_SCOPES
    click.echo(tokens.mint(checked_scopes(scopes) or usual, customer))


def checked_scopes(given: Sequence[str]) -> frozenset[str]:
    """The values of `--scope`, which repeats and takes several separated by commas or spaces. Raises
    click.BadParameter.
    """
    wanted = frozenset(word for text in given for word in text.replace(",", " ").split())
    if unknown := sorted(wanted - ALL_SCOPES):
        raise click.BadParameter(
            f"there is no scope {', '.join(unknown)}; valid scopes are {', '.join(sorted(ALL_SCOPES))}"
        )
    return wanted
