"""The `vaultgraph` command line: arguments and options. Each subcommand is implemented in `app/cli/commands`."""

import sys
from pathlib import Path
from typing import Any, TextIO

import click

from app.cli.create import CREATE
from app.cli.documents import documents, schema_check
from app.cli.imports import import_file, link_customer
from app.cli.payments import payments
from app.cli.scopes import SCOPES, TakesScopes
from app.cli.webhooks import webhooks
from app.errors import VaultgraphError
from app.vault.pan import looks_like_card_number

_DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Directory of the embedded store and the keys of `dev`. [default: ./vaultgraph-data]",
)
_CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    envvar="VAULTGRAPH_CONFIG",
    help="TOML settings file; environment variables (VAULTGRAPH_...) override it.",
)


class _Commands(click.Group):
    """Prints expected errors as one line and exits with status 1; unexpected exceptions keep their traceback."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reject card numbers before any argument is used, stored or repeated in a message."""
        for number, one in enumerate(args, start=1):
            if looks_like_card_number(one):
                raise click.UsageError(f"PAN_NOT_ALLOWED: argument {number} holds a card number. It was not stored.")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except VaultgraphError as error:
            click.echo(f"vaultgraph: {error}", err=True)
            sys.exit(1)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    help="One GraphQL graph over every vault in which a customer's payment methods live.",
)
@click.version_option(package_name="vaultgraph")
def main() -> None:
    pass


@main.command(help="Run the gateway with four sandboxes and demo customers on loopback. For development only.")
@click.option("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0 accepts other devices.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="Port to listen on.")
@click.option("--sandbox-port", type=click.IntRange(0, 65535), default=8001, help="Port of the four sandboxes.")
@click.option("--sandbox-url", default=None, help="Use a running sandbox; overrides --sandbox-port.")
@_CONFIG
@_DATA_DIR
def dev(
    host: str, port: int, sandbox_port: int, sandbox_url: str | None, config_file: Path | None, data_dir: Path | None
) -> None:
    from app.cli.commands.dev import run_dev

    run_dev(
        host=host,
        port=port,
        sandbox_port=sandbox_port,
        sandbox_url=sandbox_url,
        config_file=config_file,
        data_dir=data_dir,
    )


@main.command(help="Run only the four sandboxes, with demo data. Their state survives a restart.")
@click.option("--host", default="127.0.0.1")
@click.option("--port", type=click.IntRange(0, 65535), default=8001)
@_DATA_DIR
def sandbox(host: str, port: int, data_dir: Path | None) -> None:
    from app.cli.commands.sandbox import run_sandbox

    run_sandbox(host=host, port=port, data_dir=data_dir)


@main.command(help="Run only the gateway, from settings. Exits if a required setting is missing.")
@_CONFIG
@_DATA_DIR
def serve(config_file: Path | None, data_dir: Path | None) -> None:
    from app.cli.commands.serve import run_serve

    run_serve(config_file=config_file, data_dir=data_dir)


@main.group(
    invoke_without_command=True,
    help="Print the schema (SDL); `schema check` compares two, `schema settings` is of the settings file.",
)
@click.option(
    "--subgraph", is_flag=True, help="Include Apollo Federation directives, for composition into a supergraph."
)
@click.pass_context
def schema(ctx: click.Context, subgraph: bool) -> None:
    if ctx.invoked_subcommand is None:
        from resolvers.schema import print_sdl, subgraph_sdl

        click.echo(subgraph_sdl() if subgraph else print_sdl(), nl=False)


@schema.command("settings", help="Print the JSON schema of the settings file, for editors.")
def schema_settings() -> None:
    import json

    from app.settings.json_schema import settings_schema

    click.echo(json.dumps(settings_schema(), indent=2))


@main.command(
    cls=TakesScopes,
    help="Print a token for the `dev` gateway of the same data directory. [default: staff, every scope but pan:write]",
)
@SCOPES
@click.option(
    "--customer", metavar="cus_...", default=None, help="Issue an end-user token that sees only this customer."
)
@_DATA_DIR
def token(scopes: tuple[str, ...], customer: str | None, data_dir: Path | None) -> None:
    from app.cli.commands.token import run_token

    run_token(data_dir=data_dir, scopes=scopes, customer=customer)


@main.command(help="Upgrade the store's schema. Not needed for SQLite in the data directory: `serve` upgrades it.")
@_CONFIG
@_DATA_DIR
def migrate(config_file: Path | None, data_dir: Path | None) -> None:
    from app.cli.commands.migrate import run_migrate

    run_migrate(config_file=config_file, data_dir=data_dir)


@main.command(
    help="Read the settings and try every enabled vault's credentials, one line per vault.\n\n"
    "With --links, ask the vaults for every linked customer instead and list broken links: unknown to the vault, or "
    "set aside by an upgrade because another customer has the same link."
)
@click.option("--links", "checks_links", is_flag=True, help="Check links instead of credentials.")
@click.option(
    "--calls-per-s",
    type=click.FloatRange(min=0.1),
    default=5.0,
    help="Calls per second that --links makes to each vault.",
)
@click.option("--sandbox-url", default=None, help="For --links: sandbox URL, if `dev` is not running.")
@_CONFIG
@_DATA_DIR
def check(
    checks_links: bool,
    calls_per_s: float,
    sandbox_url: str | None,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    if checks_links:
        from app.cli.commands.check_links import run_check_links

        is_well = run_check_links(
            config_file=config_file, data_dir=data_dir, sandbox_url=sandbox_url, calls_per_s=calls_per_s
        )
        sys.exit(0 if is_well else 1)
    from app.cli.commands.check import run_check

    sys.exit(0 if run_check(config_file=config_file, data_dir=data_dir) else 1)


@main.group(help="Partner apps: their keys, scopes and customers.")
def partner() -> None:
    pass


@partner.command(
    "add", cls=TakesScopes, help="Add a partner. Its key is the last word of the last line and is shown only once."
)
@click.argument("name")
@SCOPES
@CREATE
@click.option(
    "--customers", type=click.Choice(["granted", "all"]), default="granted", help="Customers that the partner may see."
)
@click.option("--all-customers", "customers", flag_value="all", help="The same as --customers all.")
@_CONFIG
@_DATA_DIR
def partner_add(
    name: str, scopes: tuple[str, ...], customers: str, config_file: Path | None, data_dir: Path | None
) -> None:
    from app.cli.commands.partner import PartnerTarget, run_add

    run_add(PartnerTarget(config_file, data_dir), name, scopes, sees_all=customers == "all")


@partner.command("list", help="List partners, one per line, without keys.")
@_CONFIG
@_DATA_DIR
def partner_list(config_file: Path | None, data_dir: Path | None) -> None:
    from app.cli.commands.partner import PartnerTarget, run_list

    run_list(PartnerTarget(config_file, data_dir))


@partner.command(
    "rotate", help="Issue a new key, printed as the last word of the last line. The previous key stays valid."
)
@click.argument("name")
@click.option("--old-valid-for-h", type=click.FloatRange(min=0), default=None, help="Hours. [default: no end]")
@_CONFIG
@_DATA_DIR
def partner_rotate(name: str, old_valid_for_h: float | None, config_file: Path | None, data_dir: Path | None) -> None:
    from app.cli.commands.partner import PartnerTarget, run_rotate

    run_rotate(PartnerTarget(config_file, data_dir), name, old_valid_for_h=old_valid_for_h)


@partner.command("disable", help="Reject the partner's keys from now on.")
@click.argument("name")
@_CONFIG
@_DATA_DIR
def partner_disable(name: str, config_file: Path | None, data_dir: Path | None) -> None:
    from app.cli.commands.partner import PartnerTarget, run_disable

    run_disable(PartnerTarget(config_file, data_dir), name, disabled=True)


@partner.command("enable", help="Accept a disabled partner's keys again.")
@click.argument("name")
@_CONFIG
@_DATA_DIR
def partner_enable(name: str, config_file: Path | None, data_dir: Path | None) -> None:
    from app.cli.commands.partner import PartnerTarget, run_disable

    run_disable(PartnerTarget(config_file, data_dir), name, disabled=False)


@partner.command("grant", help="Grant the partner access to these customers.")
@click.argument("name")
@click.argument("customers", nargs=-1, required=True, metavar="cus_...")
@click.option("--take-back", is_flag=True, help="Revoke these grants instead.")
@_CONFIG
@_DATA_DIR
def partner_grant(
    name: str, customers: tuple[str, ...], take_back: bool, config_file: Path | None, data_dir: Path | None
) -> None:
    from app.cli.commands.partner import PartnerTarget, run_grant

    run_grant(PartnerTarget(config_file, data_dir), name, customers, take_back=take_back)


@main.command(
    help="Show how each operation of FILE (- for standard input) runs: plan or reason for none, loads, cost.\n\n"
    "Exit status 1 if the document is invalid or an operation has no plan.",
)
@click.argument("file", type=click.File("r", encoding="utf-8"))
def explain(file: TextIO) -> None:
    from app.cli.commands.explain import run_explain

    sys.exit(0 if run_explain(file.read()) else 1)


main.add_command(documents)
main.add_command(import_file)
main.add_command(link_customer)
main.add_command(webhooks)
main.add_command(payments)
schema.add_command(schema_check)
