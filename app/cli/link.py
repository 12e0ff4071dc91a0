"""`vaultgraph link`: links one customer to a vault's customer."""

import asyncio

import click
from ulid import ULID

from app.cli.local_gateway import OPERATOR, call_of_command, local_gateway
from app.cli.open_store import CommandFailed
from app.cli.options import SANDBOX_URL, ConfigLocation, VaultName, source_options
from app.vault.enums import CustomerRef, ProviderName
from app.wallet.commands import LinkCustomer, WriteResult


@click.command("link", help="Link a customer (gateway id or external id) to a vault's customer.")
@click.argument("customer")
@click.argument("provider", type=VaultName())
@click.argument("customer_ref")
@SANDBOX_URL
@source_options
def command(source: ConfigLocation, customer: str, provider: str, customer_ref: str, sandbox_url: str | None) -> None:
    async def main() -> WriteResult:
        async with local_gateway(source, sandbox_url) as gateway:
            directory = gateway.store.directory
            found = await directory.customer(customer) or await directory.customer_by_external_id(customer)
            if found is None:
                raise CommandFailed("there is no such customer: create it with the mutation createCustomer")
            write = LinkCustomer(
                customer_id=found.id,
                idempotency_key=f"link:{ULID()}",
                provider=ProviderName(provider),
                customer_ref=CustomerRef(customer_ref),
            )
            return await gateway.writer.run(write, OPERATOR, call_of_command())

    result = asyncio.run(main())
    if result.problems:
        raise CommandFailed("; ".join(f"{problem.code.value}: {problem.message}" for problem in result.problems))
    click.echo("linked")
