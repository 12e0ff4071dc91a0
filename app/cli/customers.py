"""`vaultgraph customers`: exports what the gateway and the vaults hold about one customer."""

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
import orjson

from app.cli.local_gateway import call_of_command, deadline_in, local_gateway
from app.cli.open_store import CommandFailed
from app.cli.operator_log import note
from app.cli.options import SANDBOX_URL, ConfigLocation, source_options
from app.store import Transaction
from app.vault.enums import ProviderName
from app.wallet.reads.export import CustomerExport, CustomerExporter

_WITHIN_S: Final = 30.0
_INCOMPLETE: Final = 4
command = click.Group("customers", help="Export what is known about a customer.")


@command.command(
    "export",
    help="Write everything that the gateway and the vaults hold about a customer (gateway id or external id) to a JSON "
    "file, without numbers and tokens.\n\n"
    "Exit status 4 if a vault could not be read completely: the file then names it in `missing`.",
)
@click.argument("customer")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="The file; never overwrites an existing one. [default: customer-ID.json]",
)
@SANDBOX_URL
@source_options
def export(source: ConfigLocation, customer: str, out: Path | None, sandbox_url: str | None) -> None:
    if out is not None and os.path.lexists(out):
        raise CommandFailed(f"{out} is there already: move it away, or name another file with --out")

    async def main() -> CustomerExport:
        async with local_gateway(source, sandbox_url) as gateway:
            directory = gateway.store.directory
            found = await directory.customer(customer) or await directory.customer_by_external_id(customer)
            if found is None and (into := await directory.merged_into(customer)) is not None:
                raise CommandFailed(f"this customer was merged into another one: export {into}")
            call = replace(call_of_command(), deadline_at=deadline_in(_WITHIN_S), client="export")
            exporter = CustomerExporter(gateway.store, gateway.reader, gateway.ids)
            made = await exporter.export(found.id, call, with_refs=True) if found else None
            if made is None:
                raise CommandFailed("there is no such customer: the query customers lists those that there are")
            await gateway.store.transaction(_noted, made.customer_id)
            return made

    made = asyncio.run(main())
    path = out or Path(f"customer-{made.customer_id}.json")
    _write(path, orjson.dumps(made.document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    click.echo(f"Written to {path}.")
    if made.missing:
        click.echo(f"Not complete: {', '.join(_reason(made, name) for name in made.missing)}", err=True)
        sys.exit(_INCOMPLETE)


def _noted(tx: Transaction, customer_id: str) -> None:
    note(tx, "customers export", customer_id=customer_id)


def _reason(made: CustomerExport, name: ProviderName) -> str:
    state = next(one.state for one in made.sources if one.provider is name)
    return f"{name.value} ({state.value})"


def _write(path: Path, content: bytes) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from None
