"""`vaultgraph migrate`: upgrades the store's schema before new processes start."""

import asyncio

import click

from app.cli.options import Source, source_options
from app.cli.startup_errors import described_store, store_startup_errors, usable_folder


@click.command(
    "migrate",
    help="Upgrade the store's schema. Not needed for SQLite in the data directory: `serve` upgrades it.",
)
@source_options
def command(source: Source) -> None:
    from app.cli.check_links import words_of
    from app.main import store_url
    from app.store import Store, migrate
    from app.store.records import LinkConflictRecord

    settings = source.settings()
    if not settings.store.url:
        usable_folder(settings.data_dir)

    async def apply() -> list[LinkConflictRecord]:
        store = Store.open(store_url(settings))
        try:
            await migrate(store.engine)
            return await store.link_health.conflicts()
        finally:
            await store.close()

    with store_startup_errors():
        conflicts = asyncio.run(apply())
    click.echo(f"store: {described_store(settings)}", err=True)
    click.echo("the store is up to date")
    for conflict in conflicts:
        click.echo(f"{conflict.provider.value} {conflict.customer_id} {words_of(conflict)}")
