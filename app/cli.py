"""The `vaultgraph` command. Each subcommand's work is in `app/commands`; here are its words and options."""

import sys
from pathlib import Path
from typing import Any, TextIO

import click

from app.cli_create import CREATE
from app.cli_documents import documents, schema_check
from app.cli_import import import_file, link_customer
from app.cli_payments import payments
from app.cli_scopes import SCOPES, TakesScopes
from app.cli_webhooks import webhooks
from app.errors import VaultgraphError
from app.pan import looks_like_card_number

_DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Where the embedded store and the keys of `dev` live. [default: ./vaultgraph-data]",
)
_CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    envvar="VAULTGRAPH_CONFIG",
    help="A TOML file with settings; the environment (VAULTGRAPH_...) wins over it.",
)


class _Commands(click.Group):
    """Turns our own errors into one line and exit status 1; anything else is a bug and keeps its traceback."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Before any argument is used, stored or repeated in a message."""
        for number, one in enumerate(args, start=1):
            if looks_like_card_number(one):
                raise click.UsageError(f"PAN_NOT_ALLOWED: argument {number} holds a card number. It was not kept.")
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


@main.command(help="The gateway with four sandboxes and demo customers, on loopback. For development only.")
@click.option("--host", default="127.0.0.1", help="The address to listen on; 0.0.0.0 lets other devices in.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="The port to listen on.")
@click.option("--sandbox-port", type=click.IntRange(0, 65535), default=8001, help="Where the four sandboxes listen.")
@click.option("--sandbox-url", default=None, help="Use a sandbox that already runs; wins over --sandbox-port.")
@_CONFIG
@_DATA_DIR
def dev(
    host: str, port: int, sandbox_port: int, sandbox_url: str | None, config_file: Path | None, data_dir: Path | None
) -> None:
    from app.commands.dev import run_dev

    run_dev(
        host=host,
        port=port,
        sandbox_port=sandbox_port,
        sandbox_url=sandbox_url,
        config_file=config_file,
        data_dir=data_dir,
    )


@main.command(help="The four sandboxes alone, with the demo data; their state survives a restart.")
@click.option("--host", default="127.0.0.1")
@click.option("--port", type=click.IntRange(0, 65535), default=8001)
@_DATA_DIR
def sandbox(host: str, port: int, data_dir: Path | None) -> None:
    from app.commands.sandbox import run_sandbox

    run_sandbox(host=host, port=port, data_dir=data_dir)


@main.command(help="The gateway alone, from settings. Refuses to start where a setting that it needs is missing.")
@_CONFIG
@_DATA_DIR
def serve(config_file: Path | None, data_dir: Path | None) -> None:
    from app.commands.serve import run_serve

    run_serve(config_file=config_file, data_dir=data_dir)


@main.group(invoke_without_command=True, help="Print the schema (SDL); `schema check` compares two.")
@click.option(
    "--subgraph", is_flag=True, help="With Apollo Federation's directives, for composition into a supergraph."
)
@click.pass_context
def schema(ctx: click.Context, subgraph: bool) -> None:
    if ctx.invoked_subcommand is None:
        from resolvers.schema import print_sdl, subgraph_sdl

        click.echo(subgraph_sdl() if subgraph else print_sdl(), nl=False)


@main.command(
    cls=TakesScopes,
    help="A token for the `dev` of the same data directory. [default: staff, every scope but pan:write]",
)
@SCOPES
@click.option("--customer", metavar="cus_...", default=None, help="Make it an end user's, who sees this customer only.")
@_DATA_DIR
def token(scopes: tuple[str, ...], customer: str | None, data_dir: Path | None) -> None:
    from app.commands.token import run_token

    run_token(data_dir=data_dir, scopes=scopes, customer=customer)


@main.command(help="Bring the store's schema up to date. SQLite in the data directory needs no call: `serve` does it.")
@_CONFIG
@_DATA_DIR
def migrate(config_file: Path | None, data_dir: Path | None) -> None:
    from app.commands.migrate import run_migrate

    run_migrate(config_file=config_file, data_dir=data_dir)


@main.command(
    help="Read the settings and try every enabled vault's credentials: one line each.\n\n"
    "With --links, ask the vaults for every linked customer instead, and list the links that are broken: those whose "
    "vault does not know the customer, and those that an upgrade set aside because another customer's names the same."
)
@click.option("--links", "checks_links", is_flag=True, help="Check the links instead.")
@click.option("--calls-per-s", type=click.FloatRange(min=0.1), default=5.0, help="How fast --links asks each vault.")
@click.option("--sandbox-url", default=None, help="For --links: the sandbox of a `dev` that does not run now.")
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
        from app.commands.check_links import run_check_links

        is_well = run_check_links(
            config_file=config_file, data_dir=data_dir, sandbox_url=sandbox_url, calls_per_s=calls_per_s
        )
        sys.exit(0 if is_well else 1)
    from app.commands.check import run_check

    sys.exit(0 if run_check(config_file=config_file, data_dir=data_dir) else 1)


@main.group(help="Partner apps: their keys, scopes and customers.")
def partner() -> None:
    pass


@partner.command(
    "add", cls=TakesScopes, help="Add a partner. Its key is the last word of the last line, and is shown this once."
)
@click.argument("name")
@SCOPES
@CREATE
@click.option("--customers", type=click.Choice(["granted", "all"]), default="granted", help="Whom it may see.")
@click.option("--all-customers", "customers", flag_value="all", help="The same as --customers all.")
@_CONFIG
@_DATA_DIR
def partner_add(
    name: str, scopes: tuple[str, ...], customers: str, config_file: Path | None, data_dir: Path | None
) -> None:
    from app.commands.partner import Place, run_add

    run_add(Place(config_file, data_dir), name, scopes, sees_all=customers == "all")


@partner.command("list", help="One line a partner; never a key.")
@_CONFIG
@_DATA_DIR
def partner_list(config_file: Path | None, data_dir: Path | None) -> None:
    from app.commands.partner import Place, run_list

    run_list(Place(config_file, data_dir))


@partner.command("rotate", help="A new key, the last word of the last line; the one before it stays valid beside it.")
@click.argument("name")
@click.option("--old-valid-for-h", type=click.FloatRange(min=0), default=None, help="Hours. [default: no end]")
@_CONFIG
@_DATA_DIR
def partner_rotate(name: str, old_valid_for_h: float | None, config_file: Path | None, data_dir: Path | None) -> None:
    from app.commands.partner import Place, run_rotate

    run_rotate(Place(config_file, data_dir), name, old_valid_for_h=old_valid_for_h)


@partner.command("disable", help="Refuse the partner's keys from now on.")
@click.argument("name")
@_CONFIG
@_DATA_DIR
def partner_disable(name: str, config_file: Path | None, data_dir: Path | None) -> None:
    from app.commands.partner import Place, run_disable

    run_disable(Place(config_file, data_dir), name, disabled=True)


@partner.command("enable", help="Take a disabled partner's keys again.")
@click.argument("name")
@_CONFIG
@_DATA_DIR
def partner_enable(name: str, config_file: Path | None, data_dir: Path | None) -> None:
    from app.commands.partner import Place, run_disable

    run_disable(Place(config_file, data_dir), name, disabled=False)


@partner.command("grant", help="Let the partner see these customers.")
@click.argument("name")
@click.argument("customers", nargs=-1, required=True, metavar="cus_...")
@click.option("--take-back", is_flag=True, help="Take these grants back instead.")
@_CONFIG
@_DATA_DIR
def partner_grant(
    name: str, customers: tuple[str, ...], take_back: bool, config_file: Path | None, data_dir: Path | None
) -> None:
    from app.commands.partner import Place, run_grant

    run_grant(Place(config_file, data_dir), name, customers, take_back=take_back)


@main.command(
    help="How each operation of FILE (- for standard input) runs: by a plan or why not, its loads, its price.\n\n"
    "Exit status 1 when the document is broken, or an operation has no plan.",
)
@click.argument("file", type=click.File("r", encoding="utf-8"))
def explain(file: TextIO) -> None:
    from app.commands.explain import run_explain

    sys.exit(0 if run_explain(file.read()) else 1)


main.add_command(documents)
main.add_command(import_file)
main.add_command(link_customer)
main.add_command(webhooks)
main.add_command(payments)
schema.add_command(schema_check)
