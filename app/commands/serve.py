"""`vaultgraph serve`: the gateway alone, from settings."""

import asyncio
from pathlib import Path

from app.serving import bind, run_until_signal, serve
from app.settings import load_settings


def run_serve(*, config_file: Path | None, data_dir: Path | None) -> None:
    from app.main import Gateway

    overrides = {} if data_dir is None else {"data_dir": str(data_dir)}
    settings = load_settings(config_file, **overrides)
    gateway = Gateway(settings)

    async def main(stop: asyncio.Event) -> None:
        sock = bind(settings.host, settings.port, "the setting port")

        async def drain_first() -> None:
            await stop.wait()
            gateway.begin_drain()

        draining = asyncio.create_task(drain_first())
        try:
            await serve(gateway.app, sock, stop, grace_s=settings.grace_s)
        finally:
            draining.cancel()
            sock.close()

    run_until_signal(main)
