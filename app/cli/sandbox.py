"""`vaultgraph sandbox`: runs only the four emulators."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from app.cli.options import DATA_DIR, Source
from app.providers.registry import specs
from app.sandbox.run import SandboxPortTaken, serve_sandbox
from app.server.run import PortTaken, run_until_signal

_PORT: Final = 8001
_VAULTS: Final = click.Choice([spec.name for spec in specs().values() if spec.sandbox is not None])


@click.command("sandbox", help="Run only the four sandboxes, with demo data. Their state survives a restart.")
@click.option("--host", default="127.0.0.1")
@click.option("--port", type=click.IntRange(0, 65535), default=_PORT)
@DATA_DIR
def command(host: str, port: int, data_dir: Path | None) -> None:
    def ready(url: str) -> None:
        first, *others = _VAULTS.choices
        click.echo(f"Sandboxes    {url}/{first}{''.join(f'  /{name}' for name in others)}")
        click.echo(f"Control      {url}/__sandbox   (credentials: {url}/__sandbox/credentials)")

    async def serve(stop: asyncio.Event) -> None:
        with naming_the_option("--port"):
            folder = Source(data_dir=data_dir).folder
            await serve_sandbox(host, port, folder, ready=ready, stop=stop, handle_signals=False)

    run_until_signal(serve)


@contextmanager
def naming_the_option(option: str) -> Iterator[None]:
    """Add to a "port taken" error the option that changes the port, which differs by command."""
    try:
        yield
    except SandboxPortTaken as taken:
        raise PortTaken(f"{taken}; choose another with {option}") from None
