"""The words of `vaultgraph import` and `vaultgraph link`."""

import sys
from pathlib import Path

import click

from app.cli_create import CREATE
from app.vault.names import ProviderName

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)
_DATA_DIR = click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), default=None, help="As for `vaultgraph dev`."
)
_CONFIG = click.option("--config", "config_file", type=_FILE, default=None, envvar="VAULTGRAPH_CONFIG")
_SANDBOX = click.option("--sandbox-url", default=None, help="Where the sandbox is, in development. [default: dev's]")


@click.command(
    "import",
    help="Link existing vault customers, and import cards by their processor's tokens, from a .csv or .ndjson file.\n\n"
    "The whole file is checked first. Run again, it goes on where it was cut short, and retries rows that failed for a "
    "reason that may pass. Exit status 1 when a row was not imported.",
)
@click.argument("file", type=_FILE)
@click.option("--dry-run", is_flag=True, help="Check every row and change nothing.")
@click.option("--create-customers", is_flag=True, help="Make customers of ours that are missing.")
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Where to list rows that were not imported; never over an existing file. [default: FILE.rejects.csv]",
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
    from app.commands.importing import run_import

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


@click.command("link", help="Say which customer of a vault one of ours (its id or external id) is.")
@click.argument("customer")
@click.argument("provider", type=click.Choice([name.value for name in ProviderName], case_sensitive=False))
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
    from app.commands.importing import run_link

    run_link(customer, provider, customer_ref, config_file=config_file, data_dir=data_dir, sandbox_url=sandbox_url)
