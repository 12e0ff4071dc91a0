"""Command line of `vaultgraph import` and `vaultgraph link`."""

import sys
from pathlib import Path
from typing import Any

import click

from app.cli.create import CREATE

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)
_DATA_DIR = click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), default=None, help="Same as for `vaultgraph dev`."
)
_CONFIG = click.option("--config", "config_file", type=_FILE, default=None, envvar="VAULTGRAPH_CONFIG")
_SANDBOX = click.option("--sandbox-url", default=None, help="Sandbox URL, in development. [default: dev's]")


class _Vault(click.ParamType[Any]):
    """A registered vault. Registered vaults are looked up on use, so that their errors become one line."""

    name = "vault"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from app.vault.enums import ProviderName

        return click.Choice([name.value for name in ProviderName], case_sensitive=False).convert(value, param, ctx)


@click.command(
    "import",
    help="Link existing vault customers and import cards by processor token, from a .csv or .ndjson file.\n\n"
    "The whole file is checked first. Another run resumes after an interruption and retries rows that failed for a "
    "retryable reason. Exit status 1 if a row was not imported.",
)
@click.argument("file", type=_FILE)
@click.option("--dry-run", is_flag=True, help="Check every row without changing anything.")
@click.option("--create-customers", is_flag=True, help="Create customers that do not exist in the gateway.")
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="File for rows that were not imported; never overwrites an existing file. [default: FILE.rejects.csv]",
)
@CREATE
@_SANDBOX
@_CONFIG
@_DATA_DIR
def import_file(
    file: Path,
    dry_run: bool,
    create_customers: bool,
    rejects: Path | None,
    sandbox_url: str | None,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    from app.cli.commands.imports import run_import

    whole = run_import(
        file,
        dry_run=dry_run,
        create_customers=create_customers,
        rejects=rejects,
        config_file=config_file,
        data_dir=data_dir,
        sandbox_url=sandbox_url,
    )
    sys.exit(0 if whole else 1)


@click.command("link", help="Link a customer (gateway id or external id) to a vault's customer.")
@click.argument("customer")
@click.argument("provider", type=_Vault())
@click.argument("customer_ref")
@_SANDBOX
@_CONFIG
@_DATA_DIR
def link_customer(
    customer: str,
    provider: str,
    customer_ref: str,
    sandbox_url: str | None,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    from app.cli.commands.imports import run_link

    run_link(customer, provider, customer_ref, config_file=config_file, data_dir=data_dir, sandbox_url=sandbox_url)
