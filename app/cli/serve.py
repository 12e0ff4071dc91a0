"""`vaultgraph serve`: runs only the gateway, from settings."""

import asyncio
import gc
import logging
import socket
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

import click

from app.cli.options import ConfigLocation, source_options
from app.cli.startup_errors import described_store, store_startup_errors, usable_folder
from app.errors import SettingsError, VaultgraphError
from app.server.run import run_until_signal, serve
from app.server.sockets import bind, url_of
from app.telemetry.logs import configure_logging, format_of_server

if TYPE_CHECKING:
    from app.server.workers import Worker
    from app.settings.model import Settings

_log = logging.getLogger("vaultgraph.workers")
_COLLECT_AFTER: Final = (50_000, 20, 50)  # allocations, then younger-generation collections, per collection


@click.command("serve", help="Run only the gateway, from settings. SIGHUP reloads them.")
@source_options
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=None,
    help="Number of worker processes: one per core. [default: the setting workers, 1]",
    show_default=False,
)
def command(source: ConfigLocation, workers: int | None) -> None:
    settings = _settings(source)
    workers = workers or settings.workers
    if settings.mode == "development":
        if settings.host not in ("127.0.0.1", "::1", "localhost"):
            raise SettingsError(
                "mode development listens on loopback only: set mode to production, or host to 127.0.0.1"
            )
        if workers > 1:
            raise SettingsError("mode development runs one worker: set mode to production, or workers to 1")
    if not settings.store.url:
        usable_folder(settings.data_dir)
    if settings.mcp.enabled:  # at the first request its import would stall all others; workers share it
        import_module("app.api.mcp.server")
    if workers > 1:
        _supervise(source, settings, workers)
    else:
        _run(source, settings)


def _settings(source: ConfigLocation) -> "Settings":
    settings = source.load()
    configure_logging(settings.log.level, format_of_server(settings.log.format, settings.mode))
    return settings


def _run(
    source: ConfigLocation, settings: "Settings", sock: socket.socket | None = None, worker: "Worker | None" = None
) -> None:
    """Serve in this process; a worker on the socket of its supervisor, which announces it."""
    from app.main import Gateway
    from app.server.reload import reload_settings

    gateway = Gateway(settings, seat=worker.seat if worker else None)

    async def main(stop: asyncio.Event) -> None:
        listening = sock or bind(settings.host, settings.port, "the setting port")

        def started() -> None:
            _tune_collection()
            if worker is None:
                _announce(listening, settings)
            else:
                worker.is_serving = True

        try:
            with store_startup_errors():
                await serve(
                    gateway.app,
                    listening,
                    stop,
                    grace_s=settings.grace_s,
                    limits=gateway.connection_limits,
                    on_started=started,
                    on_stop=gateway.begin_drain,
                )
        finally:
            listening.close()

    async def reload() -> None:
        if (result := await reload_settings(gateway, source.load)) is not None:
            click.echo(f"Reloaded     {', '.join(result.applied) or 'nothing has changed'}")
            if result.needs_restart:
                click.echo(f"Restart      needed for {', '.join(result.needs_restart)}")

    run_until_signal(main, None if worker else reload, is_worker=worker is not None)


def _supervise(source: ConfigLocation, settings: "Settings", workers: int) -> None:
    """Serve in worker processes. They read the settings themselves, so that new ones have reloaded them."""
    import app.main  # workers are forked from this process and share its modules
    import app.server.reload
    from app.server.workers import Supervisor
    from app.store import make_engine
    from app.store.file_locks import IS_SUPPORTED

    if not IS_SUPPORTED and make_engine(app.main.store_url(settings)).is_sqlite:
        raise SettingsError("several workers on this system need PostgreSQL: set store.url, or workers to 1")

    is_announced = False

    def run(worker: "Worker") -> None:
        try:
            _run(source, _settings(source), sock, worker)
        except VaultgraphError as error:
            if is_announced:
                _log.error("a worker cannot start: %s", error)
            else:
                click.echo(f"vaultgraph: {error}", err=True)
            sys.exit(1)

    def announce() -> None:
        nonlocal is_announced
        is_announced = True
        _announce(sock, settings)
        click.echo(f"Workers      {workers}")

    sock = bind(settings.host, settings.port, "the setting port")
    gc.collect()
    gc.freeze()  # a collection would write to the pages that workers share
    supervisor = Supervisor(
        workers, run, on_ready=announce, on_reloaded=lambda: click.echo(f"Reloaded     {workers} workers")
    )
    supervisor.run()
    if supervisor.has_failed:
        sys.exit(1)


def _tune_collection() -> None:
    """Freeze the objects created so far and tune garbage collection.

    Wallet objects hold no reference cycles, so collections free little, and each one pauses all requests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _announce(sock: socket.socket, settings: "Settings") -> None:
    address = url_of(sock)
    click.echo(f"Gateway      {address}/graphql   (health: {address}/healthz, {address}/readyz)")
    click.echo(f"Store        {described_store(settings)}")
