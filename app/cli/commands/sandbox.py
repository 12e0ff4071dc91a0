"""`vaultgraph sandbox`: runs only the four emulators."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from app.providers.registry import specs
from app.sandbox.run import SandboxPortTaken, serve_sandbox
from app.server.run import PortTaken, run_until_signal

DEFAULT_DATA_DIR = Path("vaultgraph-data")


def run_sandbox(*, host: str, port: int, data_dir: Path | None) -> None:
    def ready(url: str) -> None:
        first, *others = [spec.name for spec in specs().values() if spec.sandbox is not None]
        click.echo(f"Sandboxes    {url}/{first}{''.join(f'  /{name}' for name in others)}")
        click.echo(f"Control      {url}/__sandbox   (credentials: {url}/__sandbox/credentials)")

    async def serve(stop: asyncio.Event) -> None:
        with naming_the_option("--port"):
            await serve_sandbox(host, port, data_dir or DEFAULT_DATA_DIR, ready=ready, stop=stop, handle_signals=False)

    run_until_signal(serve)


@contextmanager
def naming_the_option(option: str) -> Iterator[None]:
    """Add to a "port taken" error the option that changes the port, which differs by command."""
    try:
        yield
    except SandboxPortTaken as taken:
        raise PortTaken(f"{taken}; choose another with {option}") from None
