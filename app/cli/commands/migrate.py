"""`vaultgraph migrate`: upgrades the store's schema before new processes start."""

import asyncio
from pathlib import Path
from typing import Any

import click

from app.cli.commands.startup_errors import described_store, store_startup_errors, usable_folder
from app.settings.model import load_settings


def run_migrate(*, config_file: Path | None, data_dir: Path | None) -> None:
    from app.cli.commands.check_links import words_of
    from app.main import store_url
    from app.store import Store, migrate
    from app.store.records import LinkConflictRecord

    overrides: dict[str, Any] = {} if data_dir is None else {"data_dir": str(data_dir)}
    settings = load_settings(config_file, **overrides)
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
