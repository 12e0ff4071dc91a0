"""`vaultgraph serve`: runs only the gateway, from settings."""

import asyncio
import gc
from typing import Final

import click

from app.cli.options import Source, source_options
from app.cli.startup_errors import described_store, store_startup_errors, usable_folder
from app.errors import SettingsError
from app.server.run import bind, run_until_signal, serve, url_of

_COLLECT_AFTER: Final = (50_000, 20, 50)  # allocations, then younger-generation collections, per collection


@click.command("serve", help="Run only the gateway, from settings. SIGHUP reloads secrets.")
@source_options
def command(source: Source) -> None:
    from app.main import Gateway
    from app.server.reload import reload_settings

    settings = source.settings()
    if settings.mode == "development" and settings.host not in ("127.0.0.1", "::1", "localhost"):
        raise SettingsError("mode development listens on loopback only: set mode to production, or host to 127.0.0.1")
    gateway = Gateway(settings)
    if not settings.store.url:
        usable_folder(settings.data_dir)

    async def main(stop: asyncio.Event) -> None:
        sock = bind(settings.host, settings.port, "the setting port")
        address = url_of(sock)

        try:
            with store_startup_errors():
                await serve(
                    gateway.app,
                    sock,
                    stop,
                    grace_s=settings.grace_s,
                    limits=gateway.connection_limits,
                    on_started=lambda: _started(address, described_store(settings)),
                    on_stop=gateway.begin_drain,
                )
        finally:
            sock.close()

    async def reload() -> None:
        if (result := await reload_settings(gateway, source.load)) is not None:
            click.echo(f"Reloaded     {', '.join(result.applied) or 'nothing has changed'}")
            if result.needs_restart:
                click.echo(f"Restart      needed for {', '.join(result.needs_restart)}")

    run_until_signal(main, reload)


def _started(address: str, store: str) -> None:
    """Freeze the objects created so far and tune garbage collection.

    Wallet objects hold no reference cycles, so collections free little, and each one pauses all requests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    _announce(address, store)


def _announce(address: str, store: str) -> None:
    click.echo(f"Gateway      {address}/graphql   (health: {address}/healthz, {address}/readyz)")
    click.echo(f"Store        {store}")
