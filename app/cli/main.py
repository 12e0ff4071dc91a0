"""The `vaultgraph` command line. Each command has its module, which is imported when the command runs."""

import sys
from importlib import import_module
from typing import Any, Final

import click

from app.errors import VaultgraphError
from app.vault.pan import looks_like_card_number

COMMANDS: Final = {
    "backup": "Copy the embedded store while it is used.",
    "check": "Try every enabled vault's credentials, or check links.",
    "customers": "Export what is known about a customer.",
    "dev": "Run the gateway with four sandboxes and demo customers.",
    "documents": "Manage published documents, a partner app's only operations.",
    "endpoints": "Webhook endpoints of partners and staff, and their deliveries.",
    "explain": "Show how each operation of a file runs, and its cost.",
    "import": "Link existing vault customers and import cards, from a file.",
    "keys": "Rotate the gateway's own keys, and see which are needed.",
    "link": "Link a customer to a vault's customer.",
    "migrate": "Upgrade the store's schema.",
    "move": "Move defaults and nicknames to methods in another vault.",
    "operations": "Find writes whose outcome is unknown.",
    "partner": "Partner apps: their keys, scopes and customers.",
    "payments": "Resolve payments that need an operator.",
    "sandbox": "Run only the four sandboxes, or change a running one.",
    "reconcile": "Find differences between the gateway and the vaults.",
    "schema": "Print the schema (SDL), or compare two.",
    "serve": "Run only the gateway, from settings.",
    "token": "Print a token for the `dev` gateway.",
    "webhooks": "Inspect and replay webhook deliveries.",
}
"""Name to one line of help. The command is the attribute `command` of the module of that name."""


class _Commands(click.Group):
    """Prints expected errors as one line and exits with status 1; unexpected exceptions keep their traceback."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reject card numbers before any argument is used, stored or repeated in a message."""
        for number, one in enumerate(args, start=1):
            if looks_like_card_number(one):
                raise click.UsageError(f"PAN_NOT_ALLOWED: argument {number} holds a card number. It was not stored.")
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Replace the entry that help and completion list with the command itself."""
        name, entry, rest = super().resolve_command(ctx, args)
        if not name or not entry:
            return name, entry, rest
        from app.telemetry.logs import configure_logging

        configure_logging()
        return name, load(name), rest

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except VaultgraphError as error:
            click.echo(f"vaultgraph: {error}", err=True)
            sys.exit(1)


def load(name: str) -> click.Command:
    module = import_module(f"app.cli.{'import_' if name == 'import' else name}")
    command: click.Command = module.command
    return command


@click.group(
    cls=_Commands,
    commands={name: click.Command(name, short_help=line) for name, line in COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    help="One GraphQL graph over every vault in which a customer's payment methods live.",
)
@click.version_option(package_name="vaultgraph")
def main() -> None:
    pass
