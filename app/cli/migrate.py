"""`vaultgraph migrate`: upgrades the store's schema before new processes start."""

import asyncio

import click

from app.cli.open_store import CommandFailed
from app.cli.options import ConfigLocation, source_options
from app.cli.startup_errors import described_store, name_store, store_startup_errors, usable_folder


@click.command(
    "migrate",
    help="Upgrade the store's schema. Not needed for SQLite in the data directory: `serve` upgrades it.",
)
@click.option(
    "--to",
    "revision",
    metavar="REVISION",
    help="Go back to an older schema, before an older version runs again. What only the newer schema holds is lost.",
)
@source_options
def command(source: ConfigLocation, revision: str | None) -> None:
    from app.cli.check_links import words_of
    from app.main import store_url
    from app.store import Store, migrate
    from app.store.records import LinkConflictRecord

    settings = source.settings()
    if not settings.store.url:
        usable_folder(settings.data_dir)

    if revision is not None:
        _go_back(source, revision)
        return

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


def _go_back(source: ConfigLocation, revision: str) -> None:
    from app.main import store_url
    from app.store import make_engine
    from app.store.migrating import downgrade, revisions
    from app.store.schema import schema_revision

    if revision not in revisions():
        raise click.BadParameter(f"there is no such schema; this version knows {', '.join(revisions())}")
    settings = source.settings()
    engine = make_engine(store_url(settings))
    with store_startup_errors():
        name_store(settings)
        found = asyncio.run(schema_revision(engine))
        if found is None or not revision <= found <= revisions()[-1]:
            raise CommandFailed(f"the store's schema is {found}: this version can only go back from {revisions()[-1]}")
        downgrade(engine, revision)
    click.echo(f"the store has the schema {revision}")
